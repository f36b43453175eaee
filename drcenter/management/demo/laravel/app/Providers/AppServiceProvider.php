<?php
namespace App\Providers;

use Illuminate\Foundation\Support\Providers\RouteServiceProvider;
use Illuminate\Routing\Middleware\SubstituteBindings;
use Illuminate\Support\Facades\Route;

class AppServiceProvider extends RouteServiceProvider
{
    public function map(): void
    {
        Route::middleware(SubstituteBindings::class)->group(base_path('routes/web.php'));
    }
}
