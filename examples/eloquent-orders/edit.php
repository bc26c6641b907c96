<?php
// edit.php - a form that edits the orders through Eloquent.
declare(strict_types=1);

require __DIR__ . '/shop.php';

function fail(int $status, string $words): void
{
    http_response_code($status);
    exit($words);
}

if ($_SERVER['REQUEST_METHOD'] === 'POST') {
    // A browser sends forms of any other site as well.
    if (!in_array($_SERVER['HTTP_SEC_FETCH_SITE'] ?? 'none', ['same-origin', 'none'], true))
        fail(403, 'not from this page');
    $total = filter_var($_POST['total'] ?? 0, FILTER_VALIDATE_FLOAT, ['options' => ['min_range' => 0, 'max_range' => 9999]]);
    $article = $_POST['article'] ?? '';
    $state = $_POST['state'] ?? 'new';
    if (!is_string($article) || strlen($article) > 60 || $total === false
        || !in_array($state, ['new', 'paid', 'sent', 'cancelled'], true))
        fail(400, 'not an order');
    if ($article !== '')
        Order::create(['article' => $article, 'total' => $total]);
    elseif ($state === 'cancelled')
        Order::where('id', (int) ($_POST['id'] ?? 0))->delete();
    else
        Order::where('id', (int) ($_POST['id'] ?? 0))->update(['state' => $state]);
    header('Location: /edit', true, 303);
    exit;
}
?>
<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Edit the orders</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="style.css">
<h1>Edit the orders</h1>
<form method="post">
  <label>Article <input name="article" required maxlength="60"></label>
  <label>Total <input name="total" type="number" min="0" max="9999" step="0.01" value="5" required></label>
  <button>Order</button>
</form>
<form method="post">
  <label>Order <input name="id" type="number" min="1" value="1" required></label>
  <label>State <select name="state"><option>paid<option>sent<option>cancelled</select></label>
  <button>Change</button>
</form>
<p>Open <a href="./" target="_blank">the orders</a> beside this page, in as many tabs as you like.</p>
