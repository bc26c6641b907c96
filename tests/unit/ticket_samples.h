/* ticket_samples.h - keys made with openssl, and tickets that PyJWT 2.6 signed with them:
 * {"sub":"alice","channels":["orders.*"],"exp":253402300799}. For tests only, as is plain. */
#ifndef ROWCAST_TESTS_TICKET_SAMPLES_H
#define ROWCAST_TESTS_TICKET_SAMPLES_H

#define RSA_PUBLIC                                                                         \
    "-----BEGIN PUBLIC KEY-----\n"                                                         \
    "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEA3Zjhhabv6pKrJv4qNSWV\n"                   \
    "9GKd8M8NmvyX8i9KFRfdDnLdfkBjjLQ8dp0uz1sogeF0aqfBbsQYNw4Pqj+coQQL\n"                   \
    "UiYoxKNh4wQCFPOHOzMQd7NZWJvpAAmb4B/orECYd9ag5Pk1/xzLlIMKvQJTIbJy\n"                   \
    "q/sKMlrETJ3G+4KhSZas/N3Hb9bl3jfKalHSRGBPY9cyfrfO7L3RlR/Rcmb/k4Ej\n"                   \
    "rEoS/dFtSVlqSumV/dvC/aI2C6gY4wmR4celf2pQPeOhVICnMEJ7CBOSkZ64X/l+\n"                   \
    "LRHSYQQ1AHbxOIX7TCjmewaENXa/K6K50oN72DUDnMn3xioDhT9HkN2UYCB9HEY0\n"                   \
    "2wIDAQAB\n"                                                                           \
    "-----END PUBLIC KEY-----\n"

#define RSA_TOKEN                                                                          \
    "eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJhbGljZSIsImNoYW5uZWxzIjpbIm9yZGV"     \
    "ycy4qIl0sImV4cCI6MjUzNDAyMzAwNzk5fQ.vcHzSgx58Zf0AVDtOg9kiBlb94C5TJqYs-0pLZ0qfvQw"     \
    "VDVuDIOx1Us0SedROWpghoOYz9gYiJaBt6RpoXXy0T6OFpwZptys5OMjHOxfhsF5CrzQwi3-_NMm9w8d"     \
    "DmVJfE7JIz3I47JK3L2g_btDYdP-UYUXP4d692u-fYBFa9PO-_4NNvMnqWpTPUrpMJ2jXyuzKgR_zdmG"     \
    "rrtR4-C0V83QTf8bCaYOtjC2AFhXWXAjiZtn0HF-vpHsx8xhZKiqSkghT2KKfSL4WzTJmk1K7Yekdats"     \
    "sEVU6-kA_DdyX4B8TaKZ4ovQQeek37E-JlWXf-bdKn3B8rCCDGQx4C1vBg"

#define EC_PUBLIC                                                                          \
    "-----BEGIN PUBLIC KEY-----\n"                                                         \
    "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEuOO1ISzqISXvpgY+1Er9cjtX6l2y\n"                   \
    "ewwJmHGOO2dReDDtACEElHpgAL7pXSymOnnKCVOcXkofVFPnic3v/+ZQHw==\n"                       \
    "-----END PUBLIC KEY-----\n"

#define EC_TOKEN                                                                           \
    "eyJhbGciOiJFUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJhbGljZSIsImNoYW5uZWxzIjpbIm9yZGV"     \
    "ycy4qIl0sImV4cCI6MjUzNDAyMzAwNzk5fQ.sR7zCFzWoJgWlwfVE2hxP23j5opaLClrcbNcMqOUSxNK"     \
    "wFjcktkNq_4YKMJ638_0PFCJsA9zeSk_sId-wBVtMg"

#define RSA_1024_PUBLIC                                                                    \
    "-----BEGIN PUBLIC KEY-----\n"                                                         \
    "MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDphULKmb7/FuNdUiDiSa1Zo0oE\n"                   \
    "+KTG6NOPBT/iH1pmMHQaMKCHyHOSLI2GJCVSJ0cryK6KeGAOeMzXL1m+b1+bkS13\n"                   \
    "/9wYV/5kvdHEm5EQ4fXiC7Uu1g1JFqJJXn05lu/I6R0Yk1LTCivxW2Fe2N16y/mn\n"                   \
    "U90u9+OQ0Yr+uob3ZQIDAQAB\n"                                                           \
    "-----END PUBLIC KEY-----\n"

#define EC_384_PUBLIC                                                                      \
    "-----BEGIN PUBLIC KEY-----\n"                                                         \
    "MHYwEAYHKoZIzj0CAQYFK4EEACIDYgAEG43ycYL1UaooWhFszNbhnEuhSNQdHJaK\n"                   \
    "9bQlIftxqKvwir5XV4GxG/Ruho4I7Dj3G9sO6vpKRmlGIkHaioWUnqo8+iXbSvW+\n"                   \
    "YdlBSDbrogLqKUuyxx2T83RhPfONjhOY\n"                                                   \
    "-----END PUBLIC KEY-----\n"

#define ED_PUBLIC                                                                          \
    "-----BEGIN PUBLIC KEY-----\n"                                                         \
    "MCowBQYDK2VwAyEAJtcD0se+VscZSiCg26K4hkOI9lNsSmMixulAvypvzSU=\n"                       \
    "-----END PUBLIC KEY-----\n"

#endif
