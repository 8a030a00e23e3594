// What the fuzzers do with hostile bytes.
// Each function feeds `input`, whose first byte decides how large the pieces are, and aborts when a
// codec breaks its promises: events out of order, or after the last one.
#pragma once

#include <cstdlib>
#include <deque>
#include <memory>
#include <string>
#include <string_view>

#include "http/codec.h"
#include "http/codec_recorder.h"
#include "http/websocket.h"

namespace mizzen::http {

inline void insist(bool promise) {
  if (!promise) std::abort();
}

// Answers every request as soon as it has ended, and watches the order of events.
class FuzzPeer final : public ConnectionEvents {
 public:
  explicit FuzzPeer(int style) : style_(style) {}
  void set_server(ServerCodec* codec) { server_ = codec; }
  StreamEvents* on_request(StreamId id, RequestHead&& head, bool end) override {
    insist(is_token(head.method));
    insist(head.path.find_first_of(" \r\n") == std::string_view::npos);
    for (const HeaderField& field : head.headers) {
      insist(is_token(field.name) && is_field_value(field.value));
    }
    streams_.push_back(std::make_unique<Watch>(*this, id));
    if (end) answer(id);
    return style_ == 3 && streams_.size() % 2 == 0 ? nullptr : streams_.back().get();
  }
  void answer(StreamId id) {
    if (style_ == 2) return server_->reset(id, ResetCode::kCancel);
    ResponseHead head;
    head.status = style_ == 1 ? 101 : 200;
    server_->respond(id, head, false);
    server_->send_data(id, "body", true);
  }

 private:
  struct Watch final : StreamEvents {
    Watch(FuzzPeer& its_peer, StreamId its_id) : peer(its_peer), id(its_id) {}
    void on_data(std::string_view bytes, bool end) override {
      insist(!ended && !over);
      ended = end;
      peer.server_->consumed(id, bytes.size());
      if (end) peer.answer(id);
    }
    void on_trailers(Headers&&) override {
      insist(!ended && !over);
      ended = true;
      peer.answer(id);
    }
    void on_reset(const Error&) override {
      insist(!over);
      over = true;
    }
    void on_complete() override {
      insist(!over);
      over = true;
    }
    FuzzPeer& peer;
    StreamId id;
    bool ended = false;
    bool over = false;
  };

  int style_;
  ServerCodec* server_ = nullptr;
  std::deque<std::unique_ptr<Watch>> streams_;
};

template <class CodecType>
void feed_in_pieces(CodecType& codec, std::string_view input, std::size_t step) {
  Status status;
  for (std::size_t at = 0; at < input.size() && status; at += step) {
    status = codec.feed(input.substr(at, step));
    while (status && codec.wants_turn()) status = codec.feed({});
    (void)pull(codec);
  }
  if (status) codec.end_of_input();
  codec.connection_lost();
  if (codec.open_streams() != 0) __builtin_trap();
  (void)pull(codec);
}

inline std::size_t step_of(char first) {
  const auto value = static_cast<unsigned char>(first);
  return (value & 0x0f) == 0 ? 1 << 20 : value & 0x0f;
}

inline void fuzz_server(std::string_view input, bool http2) {
  if (input.empty()) return;
  FuzzPeer peer((static_cast<unsigned char>(input[0]) >> 4) % 4);
  CodecOptions options;
  if ((input[0] & 0x40) != 0) options.heads_per_turn = 1;
  auto codec = http2 ? make_h2_server(options, &peer) : make_h1_server(options, &peer);
  peer.set_server(codec.get());
  feed_in_pieces(*codec, input.substr(1), step_of(input[0]));
}

inline void fuzz_client(std::string_view input, bool http2) {
  if (input.empty()) return;
  ConnectionRecorder recorder;
  StreamRecorder stream;
  auto codec = http2 ? make_h2_client({}, &recorder) : make_h1_client({}, &recorder);
  RequestHead head;
  head.method = (input[0] & 0x10) != 0 ? "HEAD" : "GET";
  head.scheme = "http";
  head.authority = "a";
  head.path = "/";
  if ((input[0] & 0x20) != 0) head.upgrade = "websocket";
  codec->submit(head, head.upgrade.empty(), &stream);
  feed_in_pieces(*codec, input.substr(1), step_of(input[0]));
}

inline void fuzz_h1(std::string_view input) {
  fuzz_server(input, false);
  fuzz_client(input, false);
}

inline void fuzz_h2(std::string_view input) {
  fuzz_server(input, true);
  fuzz_client(input, true);
}

inline void fuzz_websocket(std::string_view input) {
  if (input.empty()) return;
  const bool server = (input[0] & 0x10) != 0;
  websocket::Reader reader(server ? websocket::Role::kServer : websocket::Role::kClient, 4096);
  const std::size_t step = step_of(input[0]);
  input.remove_prefix(1);
  for (std::size_t at = 0; at < input.size(); at += step) {
    auto fed = reader.feed(input.substr(at, step), [](websocket::Opcode, std::string_view payload) {
      insist(payload.size() <= 4096);
    });
    if (!fed) return;
  }
}

}  // namespace mizzen::http
