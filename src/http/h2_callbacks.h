// What libnghttp2 calls, bound to h2::Session.
#pragma once

#include <nghttp2/nghttp2.h>

#include "http/h2_session.h"

namespace mizzen::http::h2 {

// A session that reports to `session`. Never null. The caller deletes it.
nghttp2_session* new_nghttp2_session(Session* session, bool is_server, const Limits& limits);

// Sends stream->pending, then stream->pending_trailers.
nghttp2_data_provider body_provider(Stream* stream);

}  // namespace mizzen::http::h2
