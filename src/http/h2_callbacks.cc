#include "http/h2_callbacks.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/strings.h"
#include "http/websocket.h"

namespace mizzen::http::h2 {

namespace {

constexpr std::size_t kMostOutput = 256 * 1024;  // DATA waits beyond this
constexpr std::uint32_t kIdleFrames = 10'000;

std::string_view text_of(const std::uint8_t* bytes, std::size_t size) {
  return {reinterpret_cast<const char*>(bytes), size};
}

// Stands for a handler until on_request() has returned it.
struct Nobody final : StreamEvents {
  void on_data(std::string_view, bool) override {}
  void on_trailers(Headers&&) override {}
  void on_reset(const Error&) override {}
  void on_complete() override {}
};

// RFC 9113 8.2.3: cookies may come in pieces, HTTP/1 wants them in one.
void join_cookies(Headers& headers) {
  std::size_t count = 0;
  for (const HeaderField& field : headers) count += field.name == "cookie" ? 1 : 0;
  if (count < 2) return;
  std::string joined;
  for (const HeaderField& field : headers) {
    if (field.name != "cookie") continue;
    if (!joined.empty()) joined += "; ";
    joined += field.value;
  }
  headers.set("cookie", joined);
}

}  // namespace

struct Callbacks {
  static Session& self(void* user) { return *static_cast<Session*>(user); }

  static int begin_frame(nghttp2_session* raw, const nghttp2_frame_hd* head, void* user) {
    Session& session = self(user);
    if (head->type != NGHTTP2_CONTINUATION) session.head_open_ = false;
    const bool counts = head->type == NGHTTP2_DATA || head->type == NGHTTP2_HEADERS ||
                        head->type == NGHTTP2_CONTINUATION;
    const bool empty = head->length == 0 && (head->flags & NGHTTP2_FLAG_END_STREAM) == 0;
    if (counts && !empty) {
      session.empty_frames_ = 0;
    } else if (counts && ++session.empty_frames_ > session.options_.limits.empty_frames) {
      session.terminate(NGHTTP2_ENHANCE_YOUR_CALM, "inbound_empty_frames_flood");
    }
    if (nghttp2_session_get_outbound_queue_size(raw) > session.options_.limits.outbound_frames) {
      session.terminate(NGHTTP2_ENHANCE_YOUR_CALM, "outbound_flood");
    }
    if (session.is_server_ && head->type == NGHTTP2_HEADERS) session.note_head(head->stream_id);
    return 0;
  }

  static int begin_headers(nghttp2_session* raw, const nghttp2_frame* frame, void* user) {
    Session& session = self(user);
    session.idle_frames_ = 0;
    session.head_open_ = true;
    if (!session.is_server_ || frame->headers.cat != NGHTTP2_HCAT_REQUEST) return 0;
    if (!session.status_) return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    Stream* stream = session.add_stream();
    stream->id = frame->hd.stream_id;
    stream->request.protocol = Protocol::kHttp2;
    ++session.streams_seen_;
    nghttp2_session_set_stream_user_data(raw, stream->id, stream);
    return 0;
  }

  static int header(nghttp2_session*, const nghttp2_frame* frame, const std::uint8_t* name_bytes,
                    std::size_t name_size, const std::uint8_t* value_bytes, std::size_t value_size,
                    std::uint8_t, void* user) {
    Session& session = self(user);
    Stream* stream = session.find(frame->hd.stream_id);
    if (stream == nullptr || stream->too_large) return 0;
    const std::string_view name = text_of(name_bytes, name_size);
    const std::string_view value = text_of(value_bytes, value_size);
    stream->head_bytes += name_size + value_size;
    const Limits& limits = session.options_.limits;
    if (stream->head_bytes > limits.head_bytes || ++stream->head_fields > limits.header_count) {
      stream->too_large = true;
      return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    }
    if (!name.empty() && name.front() == ':') {
      pseudo(*stream, session.is_server_, name, value);
      return 0;
    }
    Headers& to = stream->head_read    ? stream->trailers
                  : session.is_server_ ? stream->request.headers
                                       : stream->response.headers;
    if (session.is_server_ && !stream->head_read) {
      if (name == "host") {
        std::string_view& authority = stream->request.authority;
        if (authority.empty()) authority = to.intern(value);
        // RFC 9113 8.3.1: another than :authority is malformed.
        return equals_ignore_case(authority, value) ? 0 : NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
      }
      if (name == "content-length")
        stream->request.content_length = parse_int<std::uint64_t>(value);
    } else if (!stream->head_read && name == "content-length") {
      stream->response.content_length = parse_int<std::uint64_t>(value);
    }
    // One copy holds both texts.
    char* text = to.allocate(name_size + value_size);
    std::memcpy(text, name_bytes, name_size);
    if (value_size > 0) std::memcpy(text + name_size, value_bytes, value_size);
    to.add_borrowed({text, name_size}, {text + name_size, value_size});
    return 0;
  }

  static void pseudo(Stream& stream, bool is_server, std::string_view name,
                     std::string_view value) {
    if (!is_server) {
      if (name == ":status") stream.response.status = parse_int<int>(value).value_or(0);
      return;
    }
    RequestHead& head = stream.request;
    if (name == ":method") {
      head.set_method(value);
    } else if (name == ":scheme") {
      head.set_scheme(value);
    } else if (name == ":authority") {
      head.set_authority(value);
    } else if (name == ":path") {
      head.set_path(value);
    } else if (name == ":protocol") {
      stream.protocol = value;
    }
  }

  static int invalid_header(nghttp2_session*, const nghttp2_frame*, const std::uint8_t*,
                            std::size_t, const std::uint8_t*, std::size_t, std::uint8_t, void*) {
    return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
  }

  static int data_chunk(nghttp2_session*, std::uint8_t, std::int32_t id, const std::uint8_t* bytes,
                        std::size_t size, void* user) {
    Session& session = self(user);
    session.idle_frames_ = 0;
    Stream* stream = session.find(id);
    if (stream == nullptr || stream->events == nullptr) {
      nghttp2_session_consume(session.session_, id, size);
      return 0;
    }
    stream->held += size;
    stream->events->on_data(text_of(bytes, size), false);
    return 0;
  }

  static int frame_recv(nghttp2_session*, const nghttp2_frame* frame, void* user) {
    Session& session = self(user);
    if (!session.status_) return 0;
    const bool end = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
    switch (frame->hd.type) {
      case NGHTTP2_HEADERS:
        session.head_open_ = false;
        headers_done(session, session.find(frame->hd.stream_id), end);
        break;
      case NGHTTP2_DATA: {
        Stream* stream = session.find(frame->hd.stream_id);
        if (end && stream != nullptr) {
          stream->input_ended = true;
          if (stream->events != nullptr) stream->events->on_data({}, true);
        }
        break;
      }
      case NGHTTP2_RST_STREAM:
        reset_received(session, session.find(frame->hd.stream_id));
        break;
      case NGHTTP2_GOAWAY:
        if (!std::exchange(session.goaway_received_, true)) session.events_->on_goaway();
        break;
      case NGHTTP2_PING:
        pong(session, frame->ping);
        break;
      case NGHTTP2_SETTINGS:
        if ((frame->hd.flags & NGHTTP2_FLAG_ACK) == 0) session.events_->on_settings();
        session.count_idle_frame();
        break;
      case NGHTTP2_PRIORITY:
        session.count_priority_frame();
        break;
      case NGHTTP2_WINDOW_UPDATE:
        session.count_window_update();
        break;
      default:
        session.count_idle_frame();
        break;
    }
    return 0;
  }

  static void headers_done(Session& session, Stream* stream, bool end) {
    if (stream == nullptr) return;
    if (end) stream->input_ended = true;
    if (stream->head_read) {
      session.deliver_trailers(stream);
    } else if (session.is_server_) {
      session.deliver_request(stream, end);
    } else {
      session.deliver_response(stream, end);
    }
  }

  // Rapid reset (CVE-2023-44487): a peer that mostly takes back what it asks for.
  static void reset_received(Session& session, const Stream* stream) {
    if (!session.is_server_ || stream == nullptr || stream->answered) return;
    const Limits& limits = session.options_.limits;
    if (++session.early_resets_ > limits.early_resets &&
        session.early_resets_ * 2 > session.streams_seen_) {
      session.terminate(NGHTTP2_ENHANCE_YOUR_CALM, "premature_resets");
    }
  }

  static void pong(Session& session, const nghttp2_ping& frame) {
    if ((frame.hd.flags & NGHTTP2_FLAG_ACK) == 0) {
      session.count_idle_frame();
      return;
    }
    if (std::exchange(session.notice_sent_, false)) {
      nghttp2_submit_goaway(session.session_, NGHTTP2_FLAG_NONE,
                            nghttp2_session_get_last_proc_stream_id(session.session_),
                            NGHTTP2_NO_ERROR, nullptr, 0);
      return;
    }
    std::uint64_t payload;
    std::memcpy(&payload, frame.opaque_data, sizeof payload);
    session.events_->on_pong(payload);
  }

  static int stream_close(nghttp2_session* raw, std::int32_t id, std::uint32_t code, void* user) {
    Session& session = self(user);
    if (Stream* stream = session.find(id)) {
      nghttp2_session_set_stream_user_data(raw, id, nullptr);
      session.remove_stream(stream, code);
    }
    return 0;
  }

  static ssize_t read_body(nghttp2_session* raw, std::int32_t id, std::uint8_t*, std::size_t room,
                           std::uint32_t* flags, nghttp2_data_source* source, void*) {
    auto* stream = static_cast<Stream*>(source->ptr);
    const std::size_t size = std::min(room, stream->pending.size());
    if (size == 0 && !stream->pending_end) {
      stream->deferred = true;
      return NGHTTP2_ERR_DEFERRED;
    }
    *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
    if (stream->pending_end && size == stream->pending.size()) {
      *flags |= NGHTTP2_DATA_FLAG_EOF;
      if (!stream->pending_trailers.empty()) {
        *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
        submit_trailers(raw, id, stream->pending_trailers);
      }
    }
    return static_cast<ssize_t>(size);
  }

  static void submit_trailers(nghttp2_session* raw, std::int32_t id, const Headers& trailers) {
    std::vector<nghttp2_nv> fields;
    const auto bytes = [](std::string_view text) {
      return const_cast<std::uint8_t*>(reinterpret_cast<const std::uint8_t*>(text.data()));
    };
    for (const HeaderField& field : trailers) {
      fields.push_back({bytes(field.name), bytes(field.value), field.name.size(),
                        field.value.size(), NGHTTP2_NV_FLAG_NONE});
    }
    nghttp2_submit_trailer(raw, id, fields.data(), fields.size());
  }

  static int send_body(nghttp2_session*, nghttp2_frame* frame, const std::uint8_t* head,
                       std::size_t size, nghttp2_data_source* source, void* user) {
    Session& session = self(user);
    auto* stream = static_cast<Stream*>(source->ptr);
    session.idle_frames_ = 0;
    ++session.data_frames_;
    if (frame->data.padlen > 0) return NGHTTP2_ERR_CALLBACK_FAILURE;  // we never pad
    if (session.out_.size() > kMostOutput) return NGHTTP2_ERR_WOULDBLOCK;
    session.out_.append(text_of(head, 9));
    stream->pending.move_to(session.out_, size);
    if (stream->above_mark && stream->pending.size() < session.options_.limits.send_buffer / 2) {
      stream->above_mark = false;
      session.writable_.push_back(stream->id);
    }
    return 0;
  }

  static nghttp2_session_callbacks* make() {
    nghttp2_session_callbacks* all = nullptr;
    nghttp2_session_callbacks_new(&all);
    nghttp2_session_callbacks_set_on_begin_frame_callback(all, begin_frame);
    nghttp2_session_callbacks_set_on_begin_headers_callback(all, begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(all, header);
    nghttp2_session_callbacks_set_on_invalid_header_callback(all, invalid_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(all, data_chunk);
    nghttp2_session_callbacks_set_on_frame_recv_callback(all, frame_recv);
    nghttp2_session_callbacks_set_on_stream_close_callback(all, stream_close);
    nghttp2_session_callbacks_set_send_data_callback(all, send_body);
    return all;
  }
};

nghttp2_session* new_nghttp2_session(Session* session, bool is_server, const Limits& limits) {
  static nghttp2_session_callbacks* const callbacks = Callbacks::make();
  nghttp2_option* options = nullptr;
  nghttp2_option_new(&options);
  nghttp2_option_set_no_auto_window_update(options, 1);
  nghttp2_option_set_max_outbound_ack(options, limits.control_frames);
  nghttp2_session* made = nullptr;
  if (is_server) {
    nghttp2_session_server_new2(&made, callbacks, session, options);
  } else {
    nghttp2_session_client_new2(&made, callbacks, session, options);
  }
  nghttp2_option_del(options);
  return made;
}

nghttp2_data_provider body_provider(Stream* stream) {
  nghttp2_data_provider provider;
  provider.source.ptr = stream;
  provider.read_callback = Callbacks::read_body;
  return provider;
}

// RFC 9113 5.1.1: a stream that the peer has passed over cannot be opened any more. nghttp2 knows
// the streams that have ended last, and takes any other head for a trailer on its way.
void Session::note_head(StreamId id) {
  if (id > last_opened_) {
    last_opened_ = id;
    ++opened_;
    return;
  }
  const bool passed_over = opened_ < static_cast<std::uint32_t>(last_opened_ + 1) / 2;
  if (passed_over && nghttp2_session_find_stream(session_, id) == nullptr) {
    terminate(NGHTTP2_PROTOCOL_ERROR, "stream_passed_over");
  }
}

void Session::count_idle_frame() {
  if (++idle_frames_ > kIdleFrames) {
    terminate(NGHTTP2_ENHANCE_YOUR_CALM, "inbound_idle_frames_flood");
  }
}

// Both by Envoy's formulas: what a peer has reason to send grows with what it asked for.
void Session::count_priority_frame() {
  if (++priority_frames_ > options_.limits.priority_frames * (1 + streams_seen_)) {
    terminate(NGHTTP2_ENHANCE_YOUR_CALM, "inbound_priority_frames_flood");
  }
}

void Session::count_window_update() {
  const std::uint64_t most =
      5 + 2 * (streams_seen_ + options_.limits.window_updates * data_frames_);
  if (++window_updates_ > most) {
    terminate(NGHTTP2_ENHANCE_YOUR_CALM, "inbound_window_update_frames_flood");
  }
}

void Session::refuse_stream(Stream* stream, std::uint32_t code) {
  stream->events = nullptr;
  nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, stream->id, code);
}

void Session::deliver_request(Stream* stream, bool end) {
  stream->head_read = true;
  RequestHead& head = stream->request;
  const bool plain_connect = head.method == "CONNECT" && stream->protocol.empty();
  const bool path_fits =
      plain_connect || head.path.starts_with('/') || (head.path == "*" && head.method == "OPTIONS");
  if (!path_fits || !is_target(head.path) || !is_authority(head.authority) ||
      !is_token(head.method)) {
    refuse_stream(stream, NGHTTP2_PROTOCOL_ERROR);
    return;
  }
  if (!stream->protocol.empty()) {
    // RFC 8441 5: as the HTTP/1 request that it stands for.
    head.method = "GET";
    head.upgrade = head.headers.intern(stream->protocol);
  }
  if (head.scheme.empty()) head.scheme = options_.scheme;
  join_cookies(head.headers);
  // The handler may answer, and even reset, before it has been returned.
  static Nobody nobody;
  stream->events = &nobody;
  const StreamId id = stream->id;
  StreamEvents* handler = events_->on_request(id, std::move(head), end);
  if (stream->events == nullptr)
    return;  // reset meanwhile; nghttp2 keeps the stream until it is sent
  if (handler == nullptr) {
    refuse_stream(stream, NGHTTP2_REFUSED_STREAM);
  } else {
    stream->events = handler;
  }
}

void Session::deliver_response(Stream* stream, bool end) {
  ResponseHead head = std::exchange(stream->response, {});
  head.protocol = Protocol::kHttp2;
  stream->head_fields = stream->head_bytes = 0;
  if (head.is_informational()) {
    if (stream->events != nullptr) stream->events->on_informational(std::move(head));
    return;
  }
  stream->head_read = true;
  if (stream->tunnel && !stream->protocol.empty() && head.status == 200) {
    head.status = 101;
    if (!stream->websocket_key.empty()) {
      head.headers.add("sec-websocket-accept", websocket::accept_key(stream->websocket_key));
    }
  }
  if (stream->events != nullptr) stream->events->on_response(std::move(head), end);
}

void Session::deliver_trailers(Stream* stream) {
  if (stream->events == nullptr) return;
  Headers trailers = std::move(stream->trailers);
  trailers.remove_if([](const HeaderField& field) { return is_forbidden_trailer(field.name); });
  stream->events->on_trailers(std::move(trailers));
}

}  // namespace mizzen::http::h2
