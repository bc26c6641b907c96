/* read_table.h - the table rowcast_read: moves a user's mark. */
#ifndef ROWCAST_PEOPLE_READ_TABLE_H
#define ROWCAST_PEOPLE_READ_TABLE_H

#include "base/buf.h"
#include "event/filter.h"
#include "store/store.h"

enum read_verdict {
    READ_MOVED,    /* or it stood there, or further on */
    READ_NO_ROW,   /* no channel was given, and the user can read no row with that id */
    READ_TOO_HIGH, /* no row has had such an id yet */
    READ_NO_TABLE  /* the database is of an older version */
};

struct read_move {
    const struct filter *filter; /* the user's; of a row that is looked for */
    const char *channel;         /* NULL: that of the row with the id */
    int64_t id;
    struct buf found;          /* out: the channel; the caller's to end */
    int64_t mark;              /* out: where it stands */
    enum read_verdict verdict; /* out */
};

/* Within a transaction of the caller's. The mark never moves back. */
enum store_result read_table_move(struct store *store, struct read_move *move,
                                  struct error *error);

#endif
