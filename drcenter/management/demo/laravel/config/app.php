<?php
use Illuminate as I;

return [
    'name' => env('APP_NAME', 'Laravel'),
    'env' => env('APP_ENV', 'production'),
    'debug' => (bool) env('APP_DEBUG', false),
    'url' => env('APP_URL', 'http://localhost'),
    'timezone' => 'UTC', 'locale' => 'en', 'fallback_locale' => 'en',
    'key' => env('APP_KEY'), 'cipher' => 'AES-256-CBC',
    'providers' => [
        I\Bus\BusServiceProvider::class, I\Cache\CacheServiceProvider::class,
        I\Database\DatabaseServiceProvider::class, I\Encryption\EncryptionServiceProvider::class,
        I\Filesystem\FilesystemServiceProvider::class, I\Foundation\Providers\ConsoleSupportServiceProvider::class,
        I\Foundation\Providers\FoundationServiceProvider::class, I\Pagination\PaginationServiceProvider::class,
        I\Queue\QueueServiceProvider::class, I\Translation\TranslationServiceProvider::class,
        I\Validation\ValidationServiceProvider::class, I\View\ViewServiceProvider::class,
        App\Providers\AppServiceProvider::class,
    ],
    'aliases' => [],
];
