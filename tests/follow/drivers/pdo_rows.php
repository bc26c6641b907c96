<?php
// pdo_rows.php - what an application does with PHP's PDO: see tests/follow/drivers/README.md.
//
//     php pdo_rows.php HOST PORT DATABASE LABEL
[, $host, $port, $database, $label] = $argv;
$db = new PDO("pgsql:host=$host;port=$port;dbname=$database;user=postgres");
$prepared = $db->prepare('INSERT INTO notification(channel, data) VALUES (?, ?)');
$insert = fn ($text) => $prepared->execute(['drivers', "$label $text"]);

$insert(1);
$db->beginTransaction();
$insert(2);
usleep(300000);
$insert(3);
$db->commit();
$db->beginTransaction();
$insert('rolled back');
$db->rollBack();
$db->beginTransaction();
$insert(4);
$db->exec('SAVEPOINT a');
$insert('rolled back');
$db->exec('ROLLBACK TO SAVEPOINT a');
$insert(5);
$db->commit();
$db->beginTransaction();
for ($number = 6; $number < 106; $number++) {
    $insert($number);
}
$db->commit();
$db->beginTransaction();
$db->pgsqlCopyFromArray('notification', array_map(fn ($number) => "drivers\t$label $number\n", range(106, 1105)),
    "\t", '\\\\N', 'channel, data');
$db->commit();
