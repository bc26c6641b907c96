// node_rows.mjs - what an application does with node-postgres: see tests/follow/drivers/README.md.
//
//     node node_rows.mjs HOST PORT DATABASE LABEL
import { setTimeout as pause } from 'node:timers/promises';
import { need } from '../../node/harness.mjs';

const { Client } = need('pg');
const [host, port, database, label] = process.argv.slice(2);
const db = new Client({ host, port: Number(port), database, user: 'postgres' });
const text = 'INSERT INTO notification(channel, data) VALUES ($1, $2)';
const insert = (what) => db.query({ name: 'insert', text, values: ['drivers', `${label} ${what}`] });

await db.connect();
await insert(1);
await db.query('BEGIN');
await insert(2);
await pause(300);
await insert(3);
await db.query('COMMIT');
await db.query('BEGIN');
await insert('rolled back');
await db.query('ROLLBACK');
await db.query('BEGIN');
await insert(4);
await db.query('SAVEPOINT a');
await insert('rolled back');
await db.query('ROLLBACK TO SAVEPOINT a');
await insert(5);
await db.query('COMMIT');
await db.query('BEGIN');
for (let number = 6; number < 106; number++)
  await insert(number);
await db.query('COMMIT');
await db.query('INSERT INTO notification(channel, data) SELECT $1, $2 || n FROM generate_series(106, 1105) AS n',
  ['drivers', `${label} `]);
await db.end();
