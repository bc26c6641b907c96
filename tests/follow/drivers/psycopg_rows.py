#!/usr/bin/python3
"""psycopg_rows.py - what an application does with psycopg 3: see tests/follow/drivers/README.md.

    psycopg_rows.py HOST PORT DATABASE LABEL"""

import sys, time

import psycopg

host, port, database, label = sys.argv[1:]
db = psycopg.connect(host=host, port=port, dbname=database, user='postgres', autocommit=True)
INSERT = 'INSERT INTO notification(channel, data) VALUES (%s, %s)'


def insert(text):
    db.execute(INSERT, ('drivers', f'{label} {text}'), prepare=True)


insert(1)
with db.transaction():
    insert(2)
    time.sleep(0.3)
    insert(3)
with db.transaction():
    insert('rolled back')
    raise psycopg.Rollback
with db.transaction():
    insert(4)
    with db.transaction():  # a savepoint
        insert('rolled back')
        raise psycopg.Rollback
    insert(5)
with db.transaction(), db.cursor() as cursor:
    cursor.executemany(INSERT, [('drivers', f'{label} {number}') for number in range(6, 106)])
with db.transaction(), db.cursor() as cursor:
    with cursor.copy('COPY notification(channel, data) FROM STDIN') as copy:
        for number in range(106, 1106):
            copy.write_row(('drivers', f'{label} {number}'))
