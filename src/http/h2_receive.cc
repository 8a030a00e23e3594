// Bytes in: cut into frames, in place where they are whole.
#include <algorithm>

#include "http/h2_session.h"

namespace mizzen::http::h2 {

namespace {

constexpr std::uint32_t kIdleFrames = 10'000;
constexpr std::uint64_t kSettingsFrames = 100;  // and one more for each stream, and DATA frame sent
constexpr std::size_t kKeptCapacity = 256;      // of memory, between two frames

// Gathers `size` bytes: shows them when they are there, in place where possible. What it shows
// lasts until `kept` changes.
inline bool gather(std::string& kept, std::string_view& bytes, std::size_t size,
                   std::string_view& whole) {
  if (kept.empty() && bytes.size() >= size) {
    whole = bytes.substr(0, size);
    bytes.remove_prefix(size);
    return true;
  }
  const std::size_t part = std::min(size - kept.size(), bytes.size());
  kept.append(bytes.substr(0, part));
  bytes.remove_prefix(part);
  whole = kept;
  return kept.size() == size;
}

void let_go(std::string& kept) {
  if (kept.capacity() > kKeptCapacity) {
    std::string().swap(kept);
  } else {
    kept.clear();
  }
}

}  // namespace

// Before the next request: what belongs to the last one (that it was taken back) comes with it.
bool Session::turn_is_over(std::string_view bytes) const {
  return heads_ >= options_.heads_per_turn && input_ == Input::kHead && kept_.empty() &&
         bytes.size() > 3 && bytes[3] == static_cast<char>(FrameType::kHeaders);
}

// Returns what is left for the next turn.
std::string_view Session::receive(std::string_view bytes) {
  heads_ = 0;
  while (!bytes.empty() && status_ && !turn_is_over(bytes)) {
    switch (input_) {
      case Input::kPreface:
        read_preface(bytes);
        break;
      case Input::kHead:
        read_head(bytes);
        break;
      case Input::kPayload:
        read_payload(bytes);
        break;
      case Input::kData:
        read_data(bytes);
        break;
      case Input::kSkip: {
        const std::size_t part = std::min(left_, bytes.size());
        bytes.remove_prefix(part);
        left_ -= part;
        if (left_ == 0) input_ = Input::kHead;
        break;
      }
    }
  }
  return bytes;
}

void Session::read_preface(std::string_view& bytes) {
  const std::size_t part = std::min(left_, bytes.size());
  if (kHttp2Preface.substr(kHttp2Preface.size() - left_, part) != bytes.substr(0, part)) {
    return broken(ErrorCode::kProtocol, "not the preface of a client");
  }
  bytes.remove_prefix(part);
  left_ -= part;
  if (left_ == 0) input_ = Input::kHead;
}

void Session::read_head(std::string_view& bytes) {
  std::string_view head;
  if (!gather(kept_, bytes, kFrameHead, head)) return;
  frame_ = read_frame_head(head.data());
  kept_.clear();
  begin_frame();
}

void Session::begin_frame() {
  if (!frame_allowed()) return;
  left_ = frame_.size;
  if (frame_.is(FrameType::kData)) return begin_data();
  if (frame_.type > static_cast<std::uint8_t>(FrameType::kContinuation)) {
    // RFC 9113 5.5: what nobody knows is passed over.
    count_idle();
    if (left_ > 0) input_ = Input::kSkip;
    return;
  }
  if (frame_.is(FrameType::kHeaders)) head_open_ = true;
  if (left_ > 0) {
    input_ = Input::kPayload;
  } else {
    on_frame({});
  }
}

void Session::read_payload(std::string_view& bytes) {
  std::string_view payload;
  if (!gather(kept_, bytes, frame_.size, payload)) return;
  input_ = Input::kHead;
  on_frame(payload);
  let_go(kept_);
}

// What holds for all frames alike.
bool Session::frame_allowed() {
  if (frame_.size > kFrameSize) {
    broken(ErrorCode::kFrameSize, "a frame is larger than allowed");
  } else if (!settings_came_ && (!frame_.is(FrameType::kSettings) || frame_.has(kAck))) {
    broken(ErrorCode::kProtocol, "the first frame is not SETTINGS");
  } else if (frame_.is(FrameType::kContinuation) != (block_stream_ != 0) ||
             (block_stream_ != 0 && frame_.stream != block_stream_)) {
    broken(ErrorCode::kProtocol, "CONTINUATION does not stand where it must");
  } else if (is_server_ && frames_.count(drained_, written()) > options_.limits.outbound_frames) {
    // A client's are its own users' requests and cancellations, for which the server is not to
    // blame.
    flooded("outbound_flood");
  } else if (frame_.type <= static_cast<std::uint8_t>(FrameType::kHeaders) ||
             frame_.is(FrameType::kContinuation)) {
    count_empty();
  }
  settings_came_ = true;
  return status_.has_value();
}

bool Session::is_idle(std::uint32_t id) const {
  if (id % 2 == 0) return true;  // nobody pushes
  return is_server_ ? id > last_opened_
                    : next_id_ != 0 && id >= static_cast<std::uint32_t>(next_id_);
}

void Session::begin_data() {
  if (frame_.stream == 0 || is_idle(frame_.stream)) {
    return broken(ErrorCode::kProtocol, "DATA on a stream that is not open");
  }
  idle_frames_ = 0;
  receive_window_ -= frame_.size;
  if (receive_window_ < 0) {
    return broken(ErrorCode::kFlowControl, "more DATA than the connection's window allows");
  }
  Stream* stream = streams_.find(static_cast<StreamId>(frame_.stream));
  if (stream == nullptr) {
    if (lately_.find(static_cast<StreamId>(frame_.stream)) == ClosedLately::How::kByPeer) {
      return broken(ErrorCode::kStreamClosed, "DATA on a stream that has ended");
    }
  } else if (stream->input_ended) {
    stream_error(stream, ErrorCode::kStreamClosed);
  } else {
    stream->receive_window -= frame_.size;
    if (stream->receive_window < 0) {
      stream_error(stream, ErrorCode::kFlowControl);
    } else if (!stream->head_read) {
      stream_error(stream, ErrorCode::kProtocol);
    }
  }
  padding_ = 0;
  padding_known_ = !frame_.has(kPadded);
  if (!padding_known_ && frame_.size == 0) {
    return broken(ErrorCode::kProtocol, "DATA with more padding than payload");
  }
  if (left_ > 0) {
    input_ = Input::kData;
  } else {
    take_data({}, true);
  }
}

void Session::read_data(std::string_view& bytes) {
  if (!padding_known_) {
    padding_known_ = true;
    padding_ = static_cast<unsigned char>(bytes[0]);
    bytes.remove_prefix(1);
    --left_;
    if (padding_ > left_) {
      return broken(ErrorCode::kProtocol, "DATA with more padding than payload");
    }
    // What nobody sees is consumed at once.
    if (Stream* stream = streams_.find(static_cast<StreamId>(frame_.stream))) {
      stream->held += padding_ + 1;
      consumed(stream->id, padding_ + 1);
    } else {
      return_window(padding_ + 1);
    }
  }
  const std::size_t part = std::min(left_ - padding_, bytes.size());
  const std::string_view content = bytes.substr(0, part);
  bytes.remove_prefix(part);
  left_ -= part;
  const bool last = left_ == padding_;
  if (last) {  // padding says nothing, and need not be waited for
    input_ = left_ > 0 ? Input::kSkip : Input::kHead;
  }
  if (part > 0 || last) take_data(content, last);
}

void Session::take_data(std::string_view part, bool last) {
  Stream* stream = streams_.find(static_cast<StreamId>(frame_.stream));
  if (stream == nullptr) return return_window(part.size());
  stream->held += part.size();
  stream->received += static_cast<std::int64_t>(part.size());
  const bool end = last && frame_.has(kEndStream);
  if (end) stream->input_ended = true;
  const bool fits = stream->length < 0 ||
                    (end ? stream->received == stream->length : stream->received <= stream->length);
  if (!fits) return stream_error(stream, ErrorCode::kProtocol);
  if (stream->events == nullptr) {
    consumed(stream->id, part.size());
  } else if (end || !part.empty()) {
    stream->events->on_data(part, end);
  }
  if (end) close_if_done(stream);
}

void Session::count_empty() {
  const bool ends = frame_.has(kEndStream) && !frame_.is(FrameType::kContinuation);
  if (frame_.size > 0 || ends) {
    empty_frames_ = 0;
  } else if (++empty_frames_ > options_.limits.empty_frames) {
    flooded("inbound_empty_frames_flood");
  }
}

void Session::count_idle() {
  if (++idle_frames_ > kIdleFrames) flooded("inbound_idle_frames_flood");
}

// Both by Envoy's formulas: what a peer has reason to send grows with what it asked for.
void Session::count_priority() {
  if (++priority_frames_ > options_.limits.priority_frames * (1 + streams_seen_)) {
    flooded("inbound_priority_frames_flood");
  }
}

void Session::count_window_update() {
  const std::uint64_t most =
      5 + 2 * (streams_seen_ + options_.limits.window_updates * data_frames_);
  if (++window_updates_ > most) flooded("inbound_window_update_frames_flood");
}

// Each may move the windows of all streams. A peer that measures its link moves them for what we
// send.
void Session::count_settings() {
  const std::uint64_t most = kSettingsFrames + streams_seen_ + data_frames_;
  if (++settings_frames_ > most) flooded("inbound_settings_flood");
}

// Rapid reset (CVE-2023-44487): a peer that mostly takes back what it asks for.
void Session::count_early_reset(const Stream& stream) {
  if (is_server_ && !stream.head_sent) count_in_vain();
}

void Session::count_in_vain() {
  if (++early_resets_ > options_.limits.early_resets && early_resets_ * 2 > streams_seen_) {
    flooded("premature_resets");
  }
}

}  // namespace mizzen::http::h2
