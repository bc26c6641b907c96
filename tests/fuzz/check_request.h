/* check_request.h - what must hold for every request that request_parse lets through, or for
 * every refusal. Used by all fuzz targets that go through it. */
#ifndef ROWCAST_TESTS_CHECK_REQUEST_H
#define ROWCAST_TESTS_CHECK_REQUEST_H

/* Parses the environment, checks all promises, frees the request. */
void check_request(const char *const *envp);

#endif
