<?php
// Debian's php-laravel-framework stands in the include path; it tells of deprecations under PHP 8.2 that are not ours.
error_reporting(E_ALL & ~E_DEPRECATED);
require_once 'Illuminate/autoload.php';
spl_autoload_register(function (string $class): void {
    $places = ['App\\' => 'app/', 'Database\\Seeders\\' => 'database/seeders/'];
    foreach ($places as $prefix => $directory) {
        $file = dirname(__DIR__) . '/' . $directory . strtr(substr($class, strlen($prefix)), '\\', '/') . '.php';
        if (str_starts_with($class, $prefix) && is_file($file)) {
            require $file;
        }
    }
});
