// The streams of an HTTP/2 connection: what is known of each, and how they are found.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/pooled.h"
#include "http/codec.h"
#include "http/h2_frames.h"
#include "http/output.h"

namespace mizzen::http::h2 {

// One exchange.
struct Stream final : Pooled<Stream, 256> {
  StreamId id = 0;
  StreamEvents* events = nullptr;  // null: nobody listens any more
  std::int64_t send_window = 0;
  std::int64_t receive_window = 0;  // what the peer may still send
  std::size_t held = 0;             // received and not consumed() yet
  std::size_t returned = 0;         // consumed(), and the peer does not know yet
  std::int64_t length = -1;         // by content-length; -1: any
  std::int64_t received = 0;
  Output pending;  // body to send
  Headers pending_trailers;
  std::string websocket_key;  // client: of an upgrade
  Stream* next = nullptr;     // in the queue of those that have something to send
  Stream* previous = nullptr;
  std::uint64_t written_to = 0;          // where in the connection's output the stream's ended
  ErrorCode code = ErrorCode::kNoError;  // why it was closed
  bool queued = false;
  bool pending_end = false;
  bool above_mark = false;
  bool head_read = false;     // the request or the final response was delivered
  bool head_sent = false;     // server: the final response's was written; client: the request's
  bool tunnel = false;        // client: upgrade or CONNECT
  bool extended = false;      // by :protocol (RFC 8441)
  bool bodiless = false;      // client: a HEAD request
  bool input_ended = false;   // by END_STREAM
  bool output_ended = false;  // END_STREAM was written
  bool closed = false;        // gone from the table
};

// Open streams by number: open addressing. Numbers are scattered, since neighbours in one heap
// would all be looked at whenever one goes.
class StreamTable {
 public:
  Stream* find(StreamId id) const {
    if (slots_.empty()) return nullptr;
    for (std::size_t at = slot(id); slots_[at] != nullptr; at = (at + 1) & (slots_.size() - 1)) {
      if (slots_[at]->id == id) return slots_[at].get();
    }
    return nullptr;
  }
  // The table has no stream of that number.
  Stream* add(std::unique_ptr<Stream> stream);
  // The stream must be in the table.
  std::unique_ptr<Stream> take(Stream* stream);
  std::size_t size() const { return size_; }
  // In no order; no stream may come or go meanwhile.
  template <class Visit>
  void each(Visit visit) const {
    for (const auto& stream : slots_) {
      if (stream) visit(*stream);
    }
  }

 private:
  std::size_t slot(StreamId id) const {
    return (static_cast<std::uint32_t>(id) >> 1) * 0x9e3779b9U >> shift_;
  }
  void grow();

  std::vector<std::unique_ptr<Stream>> slots_;  // a power of two, at most half full
  std::size_t size_ = 0;
  unsigned shift_ = 32;
};

// The streams with something to send, each once, first come first served.
class StreamQueue {
 public:
  bool empty() const { return first_ == nullptr; }
  Stream* first() const { return first_; }
  void push(Stream* stream);
  void remove(Stream* stream);

 private:
  Stream* first_ = nullptr;
  Stream* last_ = nullptr;
};

// Streams that have closed lately, and whether the peer had said that it sends no more: then a
// frame is an error, else it may have been on its way when we broke the stream off.
class ClosedLately {
 public:
  enum class How : std::uint8_t { kUnknown, kByPeer, kByUs };
  void add(StreamId id, bool by_peer) {
    ids_[next_++ % ids_.size()] = static_cast<std::uint32_t>(id) << 1 | (by_peer ? 1U : 0U);
  }
  How find(StreamId id) const {
    for (const std::uint32_t entry : ids_) {
      if (entry >> 1 == static_cast<std::uint32_t>(id))
        return entry & 1 ? How::kByPeer : How::kByUs;
    }
    return How::kUnknown;
  }

 private:
  std::array<std::uint32_t, 32> ids_{};
  std::uint32_t next_ = 0;
};

}  // namespace mizzen::http::h2
