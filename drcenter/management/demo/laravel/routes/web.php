<?php
use App\Models\{Appointment, Call, Customer};
use Illuminate\Support\Facades\{Route, Storage};

Route::get('/', fn () => [
    'application' => config('app.name'),
    'customers' => Customer::count(), 'calls' => Call::count(), 'appointments' => Appointment::count(),
    'recordings' => count(Storage::files('recordings')),
]);
Route::get('/calls/{call}', fn ($call) => Call::with('customer')->findOrFail($call));
