#!/usr/bin/python3
"""psycopg2_rows.py - what an application does with psycopg2: see tests/follow/drivers/README.md.

    psycopg2_rows.py HOST PORT DATABASE LABEL"""

import sys, time

import psycopg2
from psycopg2.extras import execute_values

host, port, database, label = sys.argv[1:]
db = psycopg2.connect(host=host, port=port, dbname=database, user='postgres')
cursor = db.cursor()
INSERT = 'INSERT INTO notification(channel, data) VALUES (%s, %s)'


def insert(text):
    cursor.execute(INSERT, ('drivers', f'{label} {text}'))


db.autocommit = True
insert(1)
db.autocommit = False
insert(2)
time.sleep(0.3)
insert(3)
db.commit()
insert('rolled back')
db.rollback()
insert(4)
cursor.execute('SAVEPOINT a')
insert('rolled back')
cursor.execute('ROLLBACK TO SAVEPOINT a')
insert(5)
db.commit()
for number in range(6, 106):
    insert(number)
db.commit()
execute_values(cursor, 'INSERT INTO notification(channel, data) VALUES %s',
               [('drivers', f'{label} {number}') for number in range(106, 1106)])
db.commit()
