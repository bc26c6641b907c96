<?php
// migrate.php - makes the table, as a migration of Laravel does.
declare(strict_types=1);

use Illuminate\Database\Capsule\Manager;
use Illuminate\Database\Schema\Blueprint;

require __DIR__ . '/shop.php';

Manager::schema()->create('orders', function (Blueprint $table) {
    $table->id();
    $table->string('article', 60);
    $table->string('state', 20)->default('new');
    $table->decimal('total', 7, 2);
});
Order::insert([
    ['article' => 'Tea', 'total' => 4.5],
    ['article' => 'Cake', 'total' => 6],
    ['article' => 'Coffee', 'total' => 3.2],
]);
