<?php
if (is_file($maintenance = __DIR__ . '/../storage/framework/maintenance.php')) {
    require $maintenance;
}
$app = require __DIR__ . '/../bootstrap/app.php';
$kernel = $app->make(Illuminate\Contracts\Http\Kernel::class);
$response = $kernel->handle($request = Illuminate\Http\Request::capture())->send();
$kernel->terminate($request, $response);
