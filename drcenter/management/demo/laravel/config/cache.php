<?php
return [
    'default' => env('CACHE_DRIVER', 'file'), 'prefix' => 'clinic',
    'stores' => ['file' => ['driver' => 'file', 'path' => storage_path('framework/cache/data')]],
];
