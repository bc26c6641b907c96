<?php
// A shop's order list. The page shows the orders of the table, and the stream adds the later ones.
// The page reads the newest event id in the same transaction as the orders, so it neither misses
// an order that is committed meanwhile nor shows it twice.
declare(strict_types=1);

$db = new PDO('sqlite:' . getenv('SHOP_DB'));
$db->setAttribute(PDO::ATTR_ERRMODE, PDO::ERRMODE_EXCEPTION);
$db->exec('PRAGMA busy_timeout = 5000');    // wait for other writers

if ($_SERVER['REQUEST_METHOD'] === 'POST') {
    $article = trim($_POST['article'] ?? '');
    $amount = filter_var($_POST['amount'] ?? '', FILTER_VALIDATE_INT,
        ['options' => ['min_range' => 1, 'max_range' => 99]]);
    if (!preg_match('/^.{1,60}$/u', $article) || $amount === false) {
        http_response_code(400);
        exit('An article of 1 to 60 letters and an amount from 1 to 99, please.');
    }
    // The order and its notification are committed together, or neither is.
    $db->beginTransaction();
    $db->prepare('INSERT INTO orders(article, amount) VALUES (?, ?)')->execute([$article, $amount]);
    $order = ['id' => (int) $db->lastInsertId(), 'article' => $article, 'amount' => $amount];
    $db->prepare("INSERT INTO notification(channel, event, data) VALUES ('orders', 'order', ?)")
       ->execute([json_encode($order, JSON_THROW_ON_ERROR)]);
    $db->commit();
    header('Location: /', true, 303);
    exit;
}

$db->beginTransaction();
$orders = $db->query('SELECT id, article, amount FROM orders ORDER BY id DESC LIMIT 50')->fetchAll();
$last = (int) $db->query("SELECT seq FROM sqlite_sequence WHERE name = 'notification'")->fetchColumn();
$db->commit();
$h = fn($text) => htmlspecialchars((string) $text);
?>
<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Orders</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="style.css">
<h1>Orders</h1>
<p class="state" id="state" role="status">connecting</p>
<form method="post" action="/">
  <label>Article <input name="article" required maxlength="60"></label>
  <label>Amount <input name="amount" type="number" min="1" max="99" value="1" required></label>
  <button>Order</button>
</form>
<table data-last="<?= $last ?>">
  <thead><tr><th class="number">No.<th>Article<th class="number">Amount</thead>
  <tbody id="orders" aria-live="polite">
<?php foreach ($orders as $order): ?>
    <tr><td class="number"><?= $h($order['id']) ?><td><?= $h($order['article']) ?><td class="number"><?= $h($order['amount']) ?>
<?php endforeach ?>
  </tbody>
</table>
<script type="module">
  import { Rowcast } from './rowcast.js';

  const list = document.getElementById('orders');
  const rows = new Rowcast('/events', {
    channels: ['orders'],
    lastEventId: document.querySelector('table').dataset.last,
    storage: null,                  // the server says where to start, at each load of the page
  });
  rows.on('order', (event) => {
    const { id, article, amount } = event.json();
    const row = list.insertRow(0);
    for (const [text, type] of [[id, 'number'], [article, ''], [amount, 'number']])
      Object.assign(row.insertCell(), { textContent: text, className: type });
  });
  rows.onstate = ({ detail }) => {
    const state = document.getElementById('state');
    state.textContent = state.dataset.state = detail.state;
  };
  rows.ongap = () => location.reload();     // the page missed rows: show the table as it is now
</script>
