<?php
// shop.php - Eloquent, Laravel's database layer, and a model. Nothing here knows of rowcast but the path of the
// database, which is the file that `rowcast serve` has open.
declare(strict_types=1);

use Illuminate\Database\Capsule\Manager;
use Illuminate\Database\Eloquent\Model;

error_reporting(E_ALL & ~E_DEPRECATED);     // Debian 12 has Illuminate 8 on PHP 8.2
require_once 'Illuminate/Database/autoload.php';    // with Composer: vendor/autoload.php

$manager = new Manager();
$manager->addConnection(['driver' => 'sqlite', 'database' => getenv('SHOP_DB')]);
$manager->setAsGlobal();
$manager->bootEloquent();
Manager::connection()->getPdo()->setAttribute(PDO::ATTR_TIMEOUT, 20);   // seconds to wait for other writers

class Order extends Model
{
    public $timestamps = false;
    protected $fillable = ['article', 'state', 'total'];
}
