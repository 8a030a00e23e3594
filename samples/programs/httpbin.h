// httpbin: answers that say what was asked, in the JSON of go-httpbin (values as lists).
#pragma once

#include "samples/service.h"

namespace mizzen::samples {

// Serves /get, /post, /put, /patch, /delete, /anything, /headers, /ip, /user-agent, /status/CODES,
// /delay/SECONDS, /bytes/N, /base64/TEXT, /uuid, /json, /html, /robots.txt, /deny, /cookies,
// /cookies/set, /redirect/N, /redirect-to, /response-headers, /basic-auth/USER/PASSWORD, /bearer,
// /cache, /etag/TAG, /stream/N and /hostname.
Handler httpbin(Service& service);

}  // namespace mizzen::samples
