// Frames out: heads at once, bodies as windows and the socket allow.
#include <algorithm>
#include <array>
#include <bit>
#include <charconv>

#include "http/h2_session.h"

namespace mizzen::http::h2 {

namespace {

constexpr std::size_t kFill = 64 * 1024;  // output made ahead of the socket
constexpr std::array<char, 8> kDrainPing = {'d', 'r', 'a', 'i', 'n', 0, 0, 0};

// What belongs to one HTTP/1 hop is not written (RFC 9113 8.2.2).
bool of_one_hop(const HeaderField& field) {
  switch (field.name.size()) {
    case 2:
      return field.name == "te" && field.value != "trailers";
    case 4:
      return field.name == "host";
    case 7:
      return field.name == "upgrade";
    case 10:
      return field.name == "connection" || field.name == "keep-alive";
    case 14:
      return field.name == "http2-settings";
    case 16:
      return field.name == "proxy-connection";
    case 17:
      return field.name == "transfer-encoding";
    default:
      return false;
  }
}

std::size_t room_for(std::string_view name, std::string_view value) {
  return name.size() + value.size() + hpack::Writer::kFieldOverhead;
}

std::size_t room_for(const Headers& headers) {
  std::size_t room = 0;
  for (const HeaderField& field : headers) room += room_for(field.name, field.value);
  return room;
}

char* write_all(hpack::Writer& writer, const Headers& headers, std::string_view left_out,
                char* at) {
  for (const HeaderField& field : headers) {
    if (of_one_hop(field) || (!left_out.empty() && field.name == left_out)) continue;
    at = writer.write(field.name, field.value, at);
  }
  return at;
}

}  // namespace

// Writes one field block: `emit` puts fields at a place that has room for `most` bytes, and returns
// their end.
template <class Emit>
void Session::write_head(StreamId id, std::size_t most, bool end, Emit emit) {
  most += hpack::Writer::kBlockOverhead;
  if (kFrameHead + most > Output::kBlock) {
    std::string block(most, '\0');
    char* last = emit(writer_.begin(block.data()));
    return write_block(id, {block.data(), static_cast<std::size_t>(last - block.data())}, end);
  }
  static_assert(Output::kBlock <= kFrameSize);
  char* frame = out_.reserve(kFrameHead + most);
  char* last = emit(writer_.begin(frame + kFrameHead));
  const auto size = static_cast<std::size_t>(last - frame);
  write_frame_head(frame, size - kFrameHead, FrameType::kHeaders,
                   end ? kEndHeaders | kEndStream : kEndHeaders, static_cast<std::uint32_t>(id));
  out_.commit(size);
  frames_.add();
}

void Session::write_block(StreamId id, std::string_view block, bool end) {
  FrameType type = FrameType::kHeaders;
  std::uint8_t flags = end ? kEndStream : 0;
  do {
    const std::string_view part = block.substr(0, kFrameSize);
    block.remove_prefix(part.size());
    if (block.empty()) flags |= kEndHeaders;
    put_frame(out_, type, flags, static_cast<std::uint32_t>(id), part);
    frames_.add();
    type = FrameType::kContinuation;
    flags = 0;
  } while (!block.empty());
}

void Session::respond(StreamId id, const ResponseHead& head, bool end) {
  Stream* stream = streams_.find(id);
  if (stream == nullptr || stream->events == nullptr || stream->head_sent) return;
  stream->head_sent = true;
  const bool accepts_upgrade = head.status == 101 && stream->extended;
  std::array<char, 12> digits;
  const char* last = std::to_chars(digits.data(), digits.data() + digits.size(),
                                   accepts_upgrade ? 200 : head.status)
                         .ptr;
  const std::string_view status(digits.data(), static_cast<std::size_t>(last - digits.data()));
  write_head(id, room_for(":status", status) + room_for(head.headers), end, [&](char* at) {
    at = writer_.write(":status", status, at);
    return write_all(writer_, head.headers, accepts_upgrade ? "sec-websocket-accept" : "", at);
  });
  if (end) {
    end_output(stream);
  } else if (!stream->pending.empty() || stream->pending_end) {
    schedule(stream);
  }
  note_work();
}

void Session::inform(StreamId id, const ResponseHead& head) {
  const Stream* stream = streams_.find(id);
  if (stream == nullptr || stream->events == nullptr || stream->head_sent) return;
  std::array<char, 12> digits;
  const char* last = std::to_chars(digits.data(), digits.data() + digits.size(), head.status).ptr;
  const std::string_view status(digits.data(), static_cast<std::size_t>(last - digits.data()));
  write_head(id, room_for(":status", status) + room_for(head.headers), false, [&](char* at) {
    at = writer_.write(":status", status, at);
    return write_all(writer_, head.headers, "", at);
  });
  note_work();
}

StreamId Session::submit(const RequestHead& head, bool end, StreamEvents* events) {
  auto made = std::make_unique<Stream>();
  ++streams_seen_;
  made->events = events;
  if (!status_ || ended_ || goaway_received_ || draining_ || next_id_ == 0) {
    const StreamId id = next_refused_--;  // told as a refusal, in raise()
    made->id = id;
    made->code = ErrorCode::kRefusedStream;
    made->closed = true;
    closed_.push_back(std::move(made));
    note_work();
    return id;
  }
  made->id = next_id_;
  next_id_ = static_cast<std::uint32_t>(next_id_) + 2 > kMostStreamId ? 0 : next_id_ + 2;
  made->send_window = peer_window_;
  made->receive_window = static_cast<std::int64_t>(options_.limits.stream_window);
  if (!settings_known_) made->receive_window = std::max(made->receive_window, kWindow);
  made->head_sent = true;
  made->bodiless = head.method == "HEAD";
  const bool upgrade = !head.upgrade.empty();
  made->tunnel = head.is_connect() || upgrade;
  made->extended = upgrade;
  if (upgrade) made->websocket_key = head.headers.get_or("sec-websocket-key", "");
  Stream* stream = streams_.add(std::move(made));
  const std::string_view method = upgrade ? std::string_view("CONNECT") : head.method;
  const std::string_view scheme = head.scheme.empty() ? options_.scheme : head.scheme;
  const std::string_view path = head.path.empty() ? std::string_view("/") : head.path;
  const std::size_t most = room_for(":method", method) + room_for(":scheme", scheme) +
                           room_for(":path", path) + room_for(":authority", head.authority) +
                           room_for(":protocol", head.upgrade) + room_for(head.headers);
  write_head(stream->id, most, end, [&](char* at) {
    at = writer_.write(":method", method, at);
    if (!head.is_connect()) {
      at = writer_.write(":scheme", scheme, at);
      at = writer_.write(":path", path, at);
    }
    if (!head.authority.empty()) at = writer_.write(":authority", head.authority, at);
    if (upgrade) at = writer_.write(":protocol", head.upgrade, at);
    return write_all(writer_, head.headers, upgrade ? "sec-websocket-key" : "", at);
  });
  const StreamId id = stream->id;
  if (end) end_output(stream);
  note_work();
  return id;
}

// What a DATA frame of this stream may carry now. No peer may refuse frames of kFrameSize, and
// larger ones would keep the other streams waiting.
std::int64_t Session::allowance(const Stream& stream) const {
  return std::max<std::int64_t>(
      0, std::min({stream.send_window, send_window_, std::int64_t{kFrameSize}}));
}

// What fits is written at once, unless somebody waits for its turn.
void Session::send_data(StreamId id, std::string_view bytes, bool end) {
  Stream* stream = streams_.find(id);
  if (stream == nullptr || stream->events == nullptr || stream->pending_end) return;
  if (bytes.empty() && !end) return;
  stream->pending_end = end;
  const bool first = stream->head_sent && stream->pending.empty();
  if (first && bytes.empty()) {
    put_frame(out_, FrameType::kData, kEndStream, static_cast<std::uint32_t>(id), {});
    data_written(stream, 0);
    end_output(stream);
    return note_work();
  }
  while (first && ready_.empty() && out_.size() < kFill && !bytes.empty()) {
    const auto size = std::min(static_cast<std::size_t>(allowance(*stream)), bytes.size());
    if (size == 0) break;
    const bool last = end && size == bytes.size();
    put_frame(out_, FrameType::kData, last ? kEndStream : 0, static_cast<std::uint32_t>(id),
              bytes.substr(0, size));
    bytes.remove_prefix(size);
    data_written(stream, size);
    if (last) {
      end_output(stream);
      return note_work();
    }
  }
  if (!bytes.empty()) {
    stream->pending.append(bytes);
    if (stream->pending.size() > options_.limits.send_buffer) stream->above_mark = true;
    schedule(stream);
  }
  note_work();
}

void Session::send_trailers(StreamId id, const Headers& trailers) {
  Stream* stream = streams_.find(id);
  if (stream == nullptr || stream->events == nullptr || stream->pending_end) return;
  if (trailers.empty()) return send_data(id, {}, true);
  stream->pending_end = true;
  if (stream->head_sent && stream->pending.empty()) {
    write_trailers(stream, trailers);
  } else {
    stream->pending_trailers = trailers.clone();
  }
  note_work();
}

void Session::write_trailers(Stream* stream, const Headers& trailers) {
  write_head(stream->id, room_for(trailers), true, [&](char* at) {
    for (const HeaderField& field : trailers) at = writer_.write(field.name, field.value, at);
    return at;
  });
  end_output(stream);
}

void Session::schedule(Stream* stream) {
  if (stream->head_sent && (stream->send_window > 0 || stream->pending.empty())) {
    ready_.push(stream);
  }
}

void Session::data_written(Stream* stream, std::size_t size) {
  stream->send_window -= static_cast<std::int64_t>(size);
  send_window_ -= static_cast<std::int64_t>(size);
  idle_frames_ = 0;
  ++data_frames_;
  frames_.add();
}

void Session::end_output(Stream* stream) {
  stream->pending_end = true;
  stream->output_ended = true;
  stream->written_to = written();
  close_if_done(stream);
}

// One frame of each stream in turn.
void Session::fill() {
  while (out_.size() < kFill && !ready_.empty()) {
    Stream* stream = ready_.first();
    ready_.remove(stream);
    if (fill_one(stream)) continue;
    return;
  }
}

// Whether others may get on: not when the connection's window is closed.
bool Session::fill_one(Stream* stream) {
  const std::size_t size =
      std::min(static_cast<std::size_t>(allowance(*stream)), stream->pending.size());
  if (size == 0 && !stream->pending.empty()) {
    if (stream->send_window <= 0) return true;  // a WINDOW_UPDATE brings it back
    ready_.push(stream);
    return false;
  }
  const bool last = stream->pending_end && size == stream->pending.size();
  const bool trailers = last && !stream->pending_trailers.empty();
  if (size > 0 || !trailers) {
    std::array<char, kFrameHead> head;
    write_frame_head(head.data(), size, FrameType::kData, last && !trailers ? kEndStream : 0,
                     static_cast<std::uint32_t>(stream->id));
    out_.append({head.data(), head.size()});
    stream->pending.move_to(out_, size);
    data_written(stream, size);
  }
  if (stream->above_mark && stream->pending.size() < options_.limits.send_buffer / 2) {
    stream->above_mark = false;
    writable_.push_back(stream->id);
  }
  if (trailers) {
    write_trailers(stream, stream->pending_trailers);
  } else if (last) {
    end_output(stream);
  } else if (!stream->pending.empty()) {
    schedule(stream);
  }
  return true;
}

// Bytes of DATA frames that nobody holds any more.
void Session::return_window(std::size_t bytes) {
  if (bytes == 0 || ended_ || !status_) return;
  returned_ += static_cast<std::int64_t>(bytes);
  const auto window = static_cast<std::int64_t>(options_.limits.connection_window);
  if (returned_ <= 0 || returned_ < window / 2) return;
  put_window_update(out_, 0, static_cast<std::uint32_t>(returned_));
  frames_.add();
  receive_window_ += std::exchange(returned_, 0);
}

void Session::write_reset(std::uint32_t id, ErrorCode code) {
  put_reset(out_, id, code);
  frames_.add();
}

void Session::write_goaway(std::uint32_t last, ErrorCode code) {
  put_goaway(out_, last, code);
  frames_.add();
  goaway_sent_ = true;
}

// A server first says that it will close, and a round trip later from where on (RFC 9113 6.8).
void Session::drain() {
  if (draining_) return;
  draining_ = true;
  if (is_server_) {
    put_goaway(out_, kMostStreamId, ErrorCode::kNoError);
    put_frame(out_, FrameType::kPing, 0, 0, {kDrainPing.data(), kDrainPing.size()});
    notice_sent_ = true;
  } else {
    write_goaway(0, ErrorCode::kNoError);
  }
  note_work();
}

void Session::ping(std::uint64_t payload) {
  const auto bytes = std::bit_cast<std::array<char, 8>>(payload);
  put_frame(out_, FrameType::kPing, 0, 0, {bytes.data(), bytes.size()});
  frames_.add();
  note_work();
}

bool Session::is_drain_ping(std::string_view payload) {
  return payload == std::string_view(kDrainPing.data(), kDrainPing.size());
}

}  // namespace mizzen::http::h2
