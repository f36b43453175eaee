<?php
namespace App\Exceptions;

class Handler extends \Illuminate\Foundation\Exceptions\Handler
{
    protected function shouldReturnJson($request, \Throwable $e): bool
    {
        return true;
    }
}
