#!/usr/bin/env bats
# frameworks.bats - tables that Django and Eloquent (Laravel) write and migrate, tracked without a change of
# their code: the models are those of examples/django-orders and examples/eloquent-orders.
#
# A reader behind lighttpd has state=orders, and its copy is to be the table, whatever the framework does.
#
# shellcheck shell=bash

load helper

setup() {
	rowcast_setup
	init_db
	export SHOP_DB=$DB PYTHONDONTWRITEBYTECODE=1
}

track() { "$ROWCAST" track --db "$DB" "$@"; }
# The reader NAME begins: it has the table's state, and the changes behind it.
follow() { listen "$1" "$(url '?state=orders')" && wait_for copied "$1"; }
copied() { /usr/bin/python3 "$SRC/tests/track/copied.py" "$T/$1.out" "$DB" orders; }
# Whether the reader NAME has the table as it is now.
assert_copied() { wait_for copied "$1" || fail "$(copied "$1" 2>&1)"; }
# What was told, in order. (A reader may miss an older change of a row that has a newer one.)
assert_told() {
	run sql "SELECT group_concat(data ->> 'op', ' ') FROM (SELECT data FROM notification WHERE data NOT LIKE '%reset%' ORDER BY id)"
	assert_output "$1"
}

# The triggers are gone: all that can tell it does, `rowcast track` mends it, and the reader OLD learns to begin
# again: assert_lost_and_mended OLD NEW
assert_lost_and_mended() {
	run track --list
	assert_failure 1
	assert_output --partial 'orders: does not fit: its triggers are gone'
	run "$ROWCAST" doctor --db "$DB"
	assert_failure 1
	assert_output --partial 'orders: its triggers are gone'
	wait_for grep -q 'tracked table orders: its triggers are gone' "$T/rowcast.err"
	: >"$T/rowcast.err"
	run track orders
	assert_output --partial 'orders: is up to date again'
	wait_for grep -q '"op":"reset"' "$T/$1.out"
	run track --list
	assert_success
	follow "$2"
}

# --- Django ------------------------------------------------------------------------------------

django_setup() {
	cp -r "$SRC/examples/django-orders" "$T/django"
	manage migrate --verbosity 0
	track orders
	start_rowcast
	start_lighttpd
	follow a
}
manage() { /usr/bin/python3 "$T/django/manage.py" "$@"; }
# Runs lines of Python with the model: django LINES
django() {
	manage shell -c "from django.db import transaction
from django.db.models import F
from shop.models import Order
$1"
}
# Changes a line of the model, and migrates as one does: django_change FROM TO
django_change() {
	sed -i "s/$1/$2/" "$T/django/shop/models.py"
	manage makemigrations shop --verbosity 0
	manage migrate --verbosity 0
}

@test "frameworks: Django's bulk_create, update, F() and delete reach the reader" {
	django_setup
	django "
Order.objects.bulk_create(Order(article=f'Tea {i}', total=i) for i in range(1, 4))
Order.objects.filter(total__gt=1).update(total=F('total') * 2)
Order.objects.filter(article='Tea 2').delete()
first = Order.objects.get(article='Tea 1')
first.state = 'paid'
first.save()
first.save(update_fields=['state'])    # which changes nothing
Order.objects.update_or_create(id=first.id, defaults={'state': 'sent'})
Order.objects.bulk_create([Order(id=first.id, article='no', total=0)], ignore_conflicts=True)"
	assert_copied a
	assert_told 'insert insert insert update update delete update update'
	assert_healthy
}

@test "frameworks: what Django's transaction.atomic rolls back reaches no page" {
	django_setup
	django "
with transaction.atomic():
    Order.objects.create(article='kept', total=1)
    try:
        with transaction.atomic():      # a savepoint
            Order.objects.create(article='lost', total=2)
            Order.objects.update(state='lost')
            raise ValueError
    except ValueError:
        pass
    Order.objects.update(total=F('total') + 1)
try:
    with transaction.atomic():
        Order.objects.all().delete()
        raise ValueError
except ValueError:
    pass"
	assert_copied a
	assert_told 'insert update'
	! grep -q lost "$T/a.out"
	assert_healthy
}

@test "frameworks: after Django has copied a table to change it, track brings the triggers back" {
	django_setup
	django "Order.objects.create(article='Tea', total=1)"
	django_change 'max_length=20' 'max_length=40'
	django "Order.objects.create(article='told to nobody', total=1)"
	assert_lost_and_mended a b
	django "Order.objects.filter(article='Tea').update(state='a state of more than twenty letters')"
	assert_copied b
	django_change '^    state =.*' '&\n    note = models.TextField(null=True)'
	django "Order.objects.update(note='new')"
	assert_lost_and_mended b c
	django "Order.objects.update(note='newer')"
	assert_copied c
	grep -q '"note":"newer"' "$T/c.out"
	assert_healthy
}

# --- Eloquent ----------------------------------------------------------------------------------

eloquent_setup() {
	cp -r "$SRC/examples/eloquent-orders" "$T/eloquent"
	php "$T/eloquent/migrate.php"
	track orders
	start_rowcast
	start_lighttpd
	follow a
}
# Runs lines of PHP with the model: eloquent LINES
eloquent() {
	php -r "require '$T/eloquent/shop.php'; require_once 'Doctrine/DBAL/autoload.php'; class_alias('Illuminate\Database\Capsule\Manager', 'DB'); $1"
}

@test "frameworks: Eloquent's save, upsert, increment and delete reach the reader, and so does plain PDO" {
	eloquent_setup
	eloquent "
\$order = Order::create(['article' => 'Pie', 'total' => 5]);
\$order->state = 'paid';
\$order->save();
Order::upsert([['id' => \$order->id, 'article' => 'Pie', 'total' => 6],
	['id' => 9, 'article' => 'Jam', 'total' => 2]], ['id'], ['total']);
Order::where('id', 9)->increment('total');
Order::updateOrCreate(['article' => 'Tea'], ['state' => 'sent']);
Order::insertOrIgnore([['id' => 9, 'article' => 'no', 'total' => 1]]);
Order::destroy(2);
DB::connection()->getPdo()->exec('UPDATE orders SET total = 7 WHERE id = 9');
Order::where('total', '>', 6)->delete();"
	assert_copied a
	assert_told 'insert update update insert update update delete update delete'
	assert_healthy
}

@test "frameworks: what DB::transaction of Laravel rolls back reaches no page" {
	eloquent_setup
	eloquent "
DB::connection()->transaction(function () {
    Order::create(['article' => 'kept', 'total' => 1]);
    try {
        DB::connection()->transaction(function () {
            Order::query()->update(['state' => 'lost']);
            throw new Exception();
        });
    } catch (Exception) {
    }
});
try {
    DB::connection()->transaction(function () { Order::query()->delete(); throw new Exception(); });
} catch (Exception) {
}"
	assert_copied a
	assert_told 'insert'
	! grep -q lost "$T/a.out"
	assert_healthy
}

@test "frameworks: after Laravel has copied a table to change it, track brings the triggers back" {
	eloquent_setup
	eloquent "DB::schema()->table('orders', function (\$table) { \$table->string('state', 40)->default('new')->change(); });
		Order::create(['article' => 'told to nobody', 'total' => 1]);"
	assert_lost_and_mended a b
	eloquent "Order::where('id', 1)->update(['state' => 'a state of more than twenty letters']);"
	assert_copied b
	eloquent "DB::schema()->table('orders', function (\$table) { \$table->string('note')->nullable(); });"
	run track --list
	assert_failure 1
	assert_output --partial 'column note was added since'
	eloquent "DB::schema()->table('orders', function (\$table) { \$table->renameColumn('note', 'remark'); });"
	assert_lost_and_mended b c
	eloquent "Order::query()->update(['remark' => 'read']);"
	assert_copied c
	assert_healthy
}
