/* service.c - see push/service.h. Called by push/sender.c. */
#include "config.h"

#include "push/service.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"

struct service *
services_find(struct services *services, const struct push_origin *origin)
{
    struct service *service = services->first;
    while (service != NULL && strcmp(service->origin.text, origin->text) != 0)
        service = service->next;
    if (service != NULL)
        return service;
    service = calloc(1, sizeof *service);
    if (service == NULL)
        return NULL;
    service->origin = *origin;
    queue_init(&service->ready);
    queue_link_init(&service->link);
    service->next = services->first;
    services->first = service;
    return service;
}

static char *
sign(const struct services *services, const struct service *service,
     const struct vapid_key *key, int64_t now_ms)
{
    struct buf text = {0};
    const struct vapid_claims claims = {service->origin.text, services->subject, now_ms};
    int result = vapid_append_authorization(&text, key, &claims);
    buf_append(&text, "", 1);
    if (result == 0 && !text.failed)
        return text.p;
    buf_fini(&text);
    return NULL;
}

const char *
service_authorization(const struct services *services, struct service *service,
                      const struct vapid_key *key, int64_t now_ms)
{
    size_t at = (size_t)(key - services->keys->items);
    int64_t age_ms = now_ms - service->tokens[at].made_ms;
    if (service->tokens[at].text != NULL && age_ms >= 0 && age_ms < VAPID_LIFE_MS / 2)
        return service->tokens[at].text;
    free(service->tokens[at].text);
    service->tokens[at].text = sign(services, service, key, now_ms);
    service->tokens[at].made_ms = now_ms;
    return service->tokens[at].text;
}

void
service_forget_tokens(struct service *service)
{
    for (size_t i = 0; i < VAPID_KEYS_MAX; i++) {
        free(service->tokens[i].text);
        service->tokens[i].text = NULL;
    }
}

bool
service_is_down(const struct service *service)
{
    return service->failures >= SERVICE_DOWN_FAILURES;
}

void
services_fini(struct services *services)
{
    while (services->first != NULL) {
        struct service *service = services->first;
        services->first = service->next;
        service_forget_tokens(service);
        free(service);
    }
}
