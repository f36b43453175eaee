<?php
namespace App\Models;

use Illuminate\Database\Eloquent\Model;

class Call extends Model
{
    protected $guarded = [];
    // Readable with the APP_KEY of the .env file alone: a backup without it brings back noise.
    protected $casts = ['transcript' => 'encrypted', 'started_at' => 'datetime'];

    public function customer()
    {
        return $this->belongsTo(Customer::class);
    }
}
