<?php
$server = [
    'url' => env('DATABASE_URL'), 'host' => env('DB_HOST', '127.0.0.1'), 'port' => env('DB_PORT'),
    'database' => env('DB_DATABASE', 'forge'), 'username' => env('DB_USERNAME', 'forge'),
    'password' => env('DB_PASSWORD', ''), 'prefix' => '', 'prefix_indexes' => true,
];
$mysql = ['driver' => 'mysql', 'port' => env('DB_PORT', '3306'), 'unix_socket' => env('DB_SOCKET', ''),
    'charset' => 'utf8mb4', 'collation' => 'utf8mb4_unicode_ci', 'strict' => true, 'engine' => null];

return [
    'default' => env('DB_CONNECTION', 'mysql'),
    'connections' => [
        'sqlite' => ['driver' => 'sqlite', 'url' => env('DATABASE_URL'), 'prefix' => '',
            'database' => env('DB_DATABASE', database_path('database.sqlite')), 'foreign_key_constraints' => true],
        'mysql' => $mysql + $server,
        'pgsql' => ['driver' => 'pgsql', 'charset' => 'utf8', 'schema' => 'public', 'sslmode' => 'prefer'] + $server,
    ],
    'migrations' => 'migrations',
];
