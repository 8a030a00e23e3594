// For tests: codec events written down as text, and bytes moved between codecs.
#pragma once

#include <fmt/format.h>

#include <array>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "http/codec.h"

namespace mizzen::http {

// What one stream heard, e.g. "data(abc) end complete".
class StreamRecorder final : public StreamEvents {
 public:
  void on_informational(ResponseHead&& head) override {
    note(fmt::format("interim({})", head.status));
  }
  void on_response(ResponseHead&& head, bool end) override {
    note(fmt::format("response({}){}", head.status, end ? " end" : ""));
    response = std::move(head);
  }
  void on_data(std::string_view bytes, bool end) override {
    body.append(bytes);
    if (!bytes.empty())
      note(fmt::format("data({})",
                       bytes.size() > 40 ? fmt::format("#{}", bytes.size()) : std::string(bytes)));
    if (end) note("end");
  }
  void on_trailers(Headers&& got) override {
    std::string text;
    for (const HeaderField& field : got) text += fmt::format("{}={};", field.name, field.value);
    note(fmt::format("trailers({}) end", text));
  }
  void on_reset(const Error& error) override {
    note(error.retry_safe ? "reset(safe)" : "reset");
    over = true;
  }
  void on_writable() override { note("writable"); }
  void on_complete() override {
    note("complete");
    over = true;
  }

  std::string log;
  std::string body;
  ResponseHead response;
  bool over = false;

 private:
  void note(std::string_view what) {
    if (!log.empty()) log += ' ';
    log += what;
  }
};

class ConnectionRecorder final : public ConnectionEvents {
 public:
  struct Request {
    StreamId id;
    RequestHead head;
    bool end;
    std::unique_ptr<StreamRecorder> stream;
  };

  StreamEvents* on_request(StreamId id, RequestHead&& head, bool end) override {
    requests.push_back({id, std::move(head), end, std::make_unique<StreamRecorder>()});
    return requests.back().stream.get();
  }
  void on_goaway() override { ++goaways; }
  void on_pong(std::uint64_t payload) override { pongs.push_back(payload); }
  void on_work() override { ++works; }

  std::vector<Request> requests;
  std::vector<std::uint64_t> pongs;
  int goaways = 0;
  int works = 0;
};

// Takes all output of a codec.
inline std::string pull(Codec& codec) {
  std::string text;
  std::array<iovec, 4> parts;
  while (std::size_t count = codec.output(parts)) {
    std::size_t bytes = 0;
    for (std::size_t i = 0; i < count; ++i) {
      text.append(static_cast<const char*>(parts[i].iov_base), parts[i].iov_len);
      bytes += parts[i].iov_len;
    }
    codec.drained(bytes);
  }
  return text;
}

// Moves bytes both ways until both are quiet.
inline void exchange(Codec& a, Codec& b) {
  for (int i = 0; i < 10000; ++i) {
    const std::string from_a = pull(a);
    if (!from_a.empty()) (void)b.feed(from_a);
    const std::string from_b = pull(b);
    if (!from_b.empty()) (void)a.feed(from_b);
    if (from_a.empty() && from_b.empty()) return;
  }
}

}  // namespace mizzen::http
