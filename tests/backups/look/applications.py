"""Directories that look like applications, without PHP behind them."""

from pathlib import Path

DATABASE_PHP = """<?php
return ['default' => env('DB_CONNECTION', 'mysql'), 'connections' => [
    'sqlite' => ['driver' => 'sqlite', 'url' => env('DATABASE_URL'),
        'database' => env('DB_DATABASE', database_path('database.sqlite'))],
    'mysql' => ['driver' => 'mysql', 'url' => env('DATABASE_URL'), 'host' => env('DB_HOST', '127.0.0.9'),
        'port' => env('DB_PORT', '3306'), 'database' => env('DB_DATABASE', 'forge'),
        'username' => env('DB_USERNAME', 'forge'), 'password' => env('DB_PASSWORD', '')],
    'tenant' => ['driver' => 'pgsql', 'host' => env('DB_HOST', '127.0.0.1')],
    'reports' => ['driver' => 'sqlsrv'],
]];
"""


def laravel(root: Path, environment: str | None, configuration: str = DATABASE_PHP) -> Path:
    """Enough of a Laravel to be looked at."""
    for place in (
        "config",
        "database",
        "storage/app",
        "storage/framework/cache/data",
        "storage/logs",
        "public",
        "app",
    ):
        (root / place).mkdir(parents=True)
    (root / "artisan").write_text("<?php echo 'Laravel Framework 10.1.2', PHP_EOL;")
    (root / "config" / "database.php").write_text(configuration)
    (root / "app" / "Call.php").write_text("<?php")
    (root / "storage" / "app" / "upload.txt").write_text("upload")
    (root / "storage" / "logs" / "laravel.log").write_text("log")
    if environment is not None:
        (root / ".env").write_text(environment)
    return root
