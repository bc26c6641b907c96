/* text_list.h - a short list of texts, such as the values of an option that a user may repeat
 * (--cors-origin). */
#ifndef ROWCAST_BASE_TEXT_LIST_H
#define ROWCAST_BASE_TEXT_LIST_H

#include <stddef.h>

#define TEXT_LIST_MAX 64

struct text_list {
    const char *items[TEXT_LIST_MAX];
    size_t count;
    char *copy; /* what the items point into when the list owns it; options_free frees it */
};

#endif
