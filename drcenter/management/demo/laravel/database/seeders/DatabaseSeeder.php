<?php
namespace Database\Seeders;

use App\Models\Call;
use Illuminate\Database\Seeder;
use Illuminate\Support\Facades\{DB, Storage};

/** The same rows each time; only what is encrypted differs, since its key and its initial vectors do. */
class DatabaseSeeder extends Seeder
{
    private const NAMES = ['Ana Öztürk', 'Jürgen Weiß', "Siobhán O'Neill", 'Łukasz Nowak', '田中 さくら', 'Zoë 🦷 Meyer'];
    private const KINDS = ['check-up', 'cleaning', 'emergency', 'consultation'];

    public function run(): void
    {
        $at = fn (int $minutes): string => gmdate('Y-m-d H:i:s', 1735722000 + 60 * $minutes);
        $stamps = fn (int $minutes): array => ['created_at' => $at($minutes), 'updated_at' => $at($minutes)];
        for ($i = 1; $i <= 400; $i++) {
            $customers[] = ['name' => self::NAMES[$i % 6] . " $i", 'phone' => sprintf('+49 30 %07d', $i * 7919)] + $stamps($i);
        }
        for ($i = 1; $i <= 2500; $i++) {
            $call = new Call(['transcript' => "Call $i: the caller asks for a " . self::KINDS[$i * 13 % 4] . ' appointment. 📞']);
            $calls[] = ['customer_id' => $i * 31 % 400 + 1, 'started_at' => $at($i * 37), 'seconds' => 20 + $i * 17 % 600,
                'cost' => round((20 + $i * 17 % 600) * 0.0021, 4)] + $call->getAttributes() + $stamps($i * 37);
        }
        for ($i = 1; $i <= 1200; $i++) {
            $appointments[] = ['customer_id' => $i * 17 % 400 + 1, 'starts_at' => $at($i * 90), 'kind' => self::KINDS[$i % 4],
                'state' => $i % 9 ? 'booked' : 'cancelled'] + $stamps($i * 60);
        }
        foreach (compact('customers', 'calls', 'appointments') as $table => $rows) {
            foreach (array_chunk($rows, 100) as $some) {
                DB::table($table)->insert($some);
            }
        }
        for ($i = 1; $i <= 25; $i++) {
            Storage::put("recordings/call-$i.wav", 'RIFF' . str_repeat(hash('sha256', "recording $i", true), 400));
        }
        Storage::put('public/letters/Einverständnis für Röntgen.txt', "Einverständnis erteilt am 01.01.2025.\n");
        Storage::put('public/logo.svg', '<svg xmlns="http://www.w3.org/2000/svg"><circle r="9"/></svg>');
    }
}
