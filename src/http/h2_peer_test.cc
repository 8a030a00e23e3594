// Our client and our server against sessions of the reference library, with the same exchanges:
// random heads, bodies and trailers, cut anyhow, under small windows and changing tables.
#include <gtest/gtest.h>
#include <nghttp2/nghttp2.h>

#include <algorithm>
#include <map>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "http/codec.h"
#include "http/codec_recorder.h"

namespace mizzen::http {
namespace {

using Fields = std::vector<std::pair<std::string, std::string>>;

struct Message {
  Fields head;
  std::string body;
  Fields trailers;
};

// A session of the reference library: a client that asks, or a server that sends back what came.
class Peer {
 public:
  struct Stream {
    Message in;
    Message out;
    std::size_t sent = 0;
    bool head_came = false;
    bool ended = false;
    bool closed = false;
    std::uint32_t code = 0;
  };

  Peer(bool server, std::mt19937& random) : server_(server), random_(random) {
    nghttp2_session_callbacks* calls = nullptr;
    nghttp2_session_callbacks_new(&calls);
    nghttp2_session_callbacks_set_on_header_callback(calls, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(calls, on_data);
    nghttp2_session_callbacks_set_on_frame_recv_callback(calls, on_frame);
    nghttp2_session_callbacks_set_on_stream_close_callback(calls, on_close);
    nghttp2_session_callbacks_set_select_padding_callback(calls, padding);
    if (server) {
      nghttp2_session_server_new(&raw_, calls, this);
    } else {
      nghttp2_session_client_new(&raw_, calls, this);
    }
    nghttp2_session_callbacks_del(calls);
    settings();
  }
  Peer(const Peer&) = delete;
  Peer& operator=(const Peer&) = delete;
  ~Peer() { nghttp2_session_del(raw_); }

  // A small window and table at first, or any later.
  void settings() {
    const nghttp2_settings_entry entries[] = {
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, static_cast<std::uint32_t>(random_() % 70'000)},
        {NGHTTP2_SETTINGS_HEADER_TABLE_SIZE, static_cast<std::uint32_t>(random_() % 6000)},
        {NGHTTP2_SETTINGS_MAX_FRAME_SIZE, 16'384 + static_cast<std::uint32_t>(random_() % 9999)},
    };
    nghttp2_submit_settings(raw_, NGHTTP2_FLAG_NONE, entries, std::size(entries));
  }
  // A window may stand below nothing otherwise.
  void open_windows() {
    nghttp2_submit_window_update(raw_, NGHTTP2_FLAG_NONE, 0, 40'000);
    for (auto& [id, stream] : streams) {
      if (!stream.ended && !stream.closed) {
        nghttp2_submit_window_update(raw_, NGHTTP2_FLAG_NONE, id, 40'000);
      }
    }
  }
  bool feed(std::string_view bytes) {
    const auto used = nghttp2_session_mem_recv(
        raw_, reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size());
    return used == static_cast<ssize_t>(bytes.size());
  }
  std::string pull() {
    std::string text;
    const std::uint8_t* bytes = nullptr;
    for (ssize_t size; (size = nghttp2_session_mem_send(raw_, &bytes)) > 0;) {
      text.append(reinterpret_cast<const char*>(bytes), static_cast<std::size_t>(size));
    }
    return text;
  }
  std::int32_t ask(const Message& message) {
    const auto fields = list(message.head);
    Stream stream;
    stream.out = message;
    const nghttp2_data_provider body = {{0}, read_body};
    const auto id = nghttp2_submit_request(raw_, nullptr, fields.data(), fields.size(),
                                           has_body(message) ? &body : nullptr, nullptr);
    streams[id] = std::move(stream);
    return id;
  }
  nghttp2_session* raw() { return raw_; }

  std::map<std::int32_t, Stream> streams;

 private:
  static bool has_body(const Message& message) {
    return !message.body.empty() || !message.trailers.empty();
  }
  static std::vector<nghttp2_nv> list(const Fields& fields) {
    std::vector<nghttp2_nv> all;
    for (const auto& [name, value] : fields) {
      all.push_back({reinterpret_cast<std::uint8_t*>(const_cast<char*>(name.data())),
                     reinterpret_cast<std::uint8_t*>(const_cast<char*>(value.data())), name.size(),
                     value.size(), NGHTTP2_NV_FLAG_NONE});
    }
    return all;
  }
  static Peer& self(void* user) { return *static_cast<Peer*>(user); }

  static int on_header(nghttp2_session*, const nghttp2_frame* frame, const std::uint8_t* name,
                       std::size_t name_size, const std::uint8_t* value, std::size_t value_size,
                       std::uint8_t, void* user) {
    Stream& stream = self(user).streams[frame->hd.stream_id];
    (stream.head_came ? stream.in.trailers : stream.in.head)
        .emplace_back(std::string(reinterpret_cast<const char*>(name), name_size),
                      std::string(reinterpret_cast<const char*>(value), value_size));
    return 0;
  }
  static int on_data(nghttp2_session*, std::uint8_t, std::int32_t id, const std::uint8_t* bytes,
                     std::size_t size, void* user) {
    self(user).streams[id].in.body.append(reinterpret_cast<const char*>(bytes), size);
    return 0;
  }
  static int on_frame(nghttp2_session*, const nghttp2_frame* frame, void* user) {
    Peer& peer = self(user);
    if (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA) return 0;
    Stream& stream = peer.streams[frame->hd.stream_id];
    if (frame->hd.type == NGHTTP2_HEADERS) {
      if (!stream.in.head.empty() && stream.in.head[0].second == "103") {
        stream.in.head.clear();
      } else {
        stream.head_came = true;
      }
    }
    if ((frame->hd.flags & NGHTTP2_FLAG_END_STREAM) == 0) return 0;
    stream.ended = true;
    if (peer.server_) peer.answer(frame->hd.stream_id, stream);
    return 0;
  }
  void answer(std::int32_t id, Stream& stream) {
    stream.out = stream.in;
    std::erase_if(stream.out.head, [](const auto& field) { return field.first.starts_with(':'); });
    stream.out.head.insert(stream.out.head.begin(), {":status", "200"});
    const auto fields = list(stream.out.head);
    const nghttp2_data_provider body = {{0}, read_body};
    nghttp2_submit_response(raw_, id, fields.data(), fields.size(),
                            has_body(stream.out) ? &body : nullptr);
  }
  static int on_close(nghttp2_session*, std::int32_t id, std::uint32_t code, void* user) {
    self(user).streams[id].closed = true;
    self(user).streams[id].code = code;
    return 0;
  }
  static ssize_t padding(nghttp2_session*, const nghttp2_frame* frame, std::size_t most,
                         void* user) {
    Peer& peer = self(user);
    const std::size_t more = peer.random_() % 3 == 0 ? peer.random_() % 50 : 0;
    return static_cast<ssize_t>(std::min(frame->hd.length + more, most));
  }
  static ssize_t read_body(nghttp2_session* raw, std::int32_t id, std::uint8_t* to,
                           std::size_t room, std::uint32_t* flags, nghttp2_data_source*,
                           void* user) {
    Stream& stream = self(user).streams[id];
    const std::size_t size = std::min(room, stream.out.body.size() - stream.sent);
    std::copy_n(stream.out.body.data() + stream.sent, size, to);
    stream.sent += size;
    if (stream.sent == stream.out.body.size()) {
      *flags |= NGHTTP2_DATA_FLAG_EOF;
      if (!stream.out.trailers.empty()) {
        *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
        const auto fields = list(stream.out.trailers);
        nghttp2_submit_trailer(raw, id, fields.data(), fields.size());
      }
    }
    return static_cast<ssize_t>(size);
  }

  bool server_;
  std::mt19937& random_;
  nghttp2_session* raw_ = nullptr;
};

std::string random_text(std::mt19937& random, std::size_t size) {
  std::string text(size, '\0');
  for (char& c : text) c = static_cast<char>('!' + random() % 90);
  return text;
}

Message random_message(std::mt19937& random) {
  Message message;
  message.head = {{":method", random() % 2 == 0 ? "POST" : "PUT"},
                  {":scheme", "http"},
                  {":path", "/" + std::to_string(random() % 4)},
                  {":authority", "a.b"},
                  {"x-request-id", random_text(random, 36)}};
  for (std::size_t i = random() % 6; i > 0; --i) {
    const std::size_t size = random() % 12 == 0 ? random() % 20'000 : random() % 20;
    message.head.emplace_back("x-" + std::to_string(random() % 30), random_text(random, size));
  }
  if (random() % 3 != 0) message.body = random_text(random, random() % 100'000);
  if (random() % 3 == 0) message.trailers = {{"x-sum", random_text(random, random() % 20)}};
  return message;
}

Fields ordinary(const Fields& head) {
  Fields rest;
  for (const auto& field : head) {
    if (!field.first.starts_with(':')) rest.push_back(field);
  }
  return rest;
}

Fields fields_of(const Headers& headers) {
  Fields fields;
  for (const HeaderField& field : headers) fields.emplace_back(field.name, field.value);
  return fields;
}

void put(Headers& to, const Fields& fields) {
  for (const auto& [name, value] : fields) to.add(name, value);
}

// Holds what our codec tells of a stream, and consumes as it comes.
struct Heard final : StreamEvents {
  explicit Heard(Codec& its_codec) : codec(its_codec) {}
  void on_response(ResponseHead&& head, bool end) override {
    status = head.status;
    in.head = fields_of(head.headers);
    ended = end;
  }
  void on_data(std::string_view bytes, bool end) override {
    EXPECT_FALSE(ended);
    in.body.append(bytes);
    codec.consumed(id, bytes.size());
    ended = end;
    if (end && whole) whole(*this);
  }
  void on_trailers(Headers&& trailers) override {
    EXPECT_FALSE(ended);
    in.trailers = fields_of(trailers);
    ended = true;
    if (whole) whole(*this);
  }
  void on_reset(const Error& error) override { broken = error.message; }
  void on_complete() override { complete = true; }

  Codec& codec;
  StreamId id = 0;
  int status = 0;
  Message in;
  void (*whole)(Heard&) = nullptr;
  std::string broken;
  bool ended = false;
  bool complete = false;
};

// Sends back what comes, an interim response before it.
struct Echo final : ConnectionEvents {
  StreamEvents* on_request(StreamId id, RequestHead&& head, bool end) override {
    auto& heard = *all.emplace_back(std::make_unique<Heard>(*server));
    heard.id = id;
    heard.in.head = fields_of(head.headers);
    heard.whole = answer;
    if (end) answer(heard);
    return &heard;
  }
  static void answer(Heard& heard) {
    auto& codec = static_cast<ServerCodec&>(heard.codec);
    ResponseHead head;
    head.status = 103;
    if (heard.id % 3 == 0) codec.inform(heard.id, head);
    head.status = 200;
    put(head.headers, heard.in.head);
    codec.respond(heard.id, head, heard.in.body.empty() && heard.in.trailers.empty());
    codec.send_data(heard.id, heard.in.body, heard.in.trailers.empty());
    Headers trailers;
    put(trailers, heard.in.trailers);
    codec.send_trailers(heard.id, trailers);
  }
  ServerCodec* server = nullptr;
  std::vector<std::unique_ptr<Heard>> all;
};

// Moves bytes in pieces of any size until ours is quiet; windows are opened as long as it helps.
void talk(Codec& codec, Peer& peer, std::mt19937& random, bool windows = true) {
  const auto pieces = [&random](const std::string& bytes, auto&& take) {
    for (std::size_t at = 0; at < bytes.size();) {
      const std::size_t size = random() % 4 == 0 ? 1 + random() % 20 : 1 + random() % 30'000;
      take(std::string_view(bytes).substr(at, size));
      at += size;
    }
  };
  for (int quiet = 0; quiet < 4;) {
    const std::string ours = pull(codec);
    pieces(ours, [&](std::string_view part) { ASSERT_TRUE(peer.feed(part)); });
    const std::string theirs = peer.pull();
    pieces(theirs, [&](std::string_view part) {
      const Status fed = codec.feed(part);
      ASSERT_TRUE(fed) << fed.error().message;
    });
    if (::testing::Test::HasFailure()) return;
    quiet = ours.empty() ? quiet + 1 : 0;
    if (quiet > 0 && windows) peer.open_windows();
    if (quiet == 0 && random() % 8 == 0) peer.settings();
  }
}

// This peer opens windows more often than it needs to.
CodecOptions patient() {
  CodecOptions options;
  options.limits.window_updates = 100'000;
  return options;
}

TEST(H2AgainstTheReference, OurClient) {
  for (unsigned seed = 1; seed <= 12; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937 random(seed);
    ConnectionRecorder events;
    Peer peer(true, random);
    auto client = make_h2_client(patient(), &events);
    std::vector<std::pair<Message, std::unique_ptr<Heard>>> asked;
    for (int i = 0; i < 20; ++i) {
      Message message = random_message(random);
      auto heard = std::make_unique<Heard>(*client);
      RequestHead head;
      head.set_method(message.head[0].second);
      head.scheme = "http";
      head.set_path(message.head[2].second);
      head.authority = "a.b";
      put(head.headers, ordinary(message.head));
      const bool end = message.body.empty() && message.trailers.empty();
      heard->id = client->submit(head, end, heard.get());
      if (!end) client->send_data(heard->id, message.body, message.trailers.empty());
      Headers trailers;
      put(trailers, message.trailers);
      if (!end) client->send_trailers(heard->id, trailers);
      asked.emplace_back(std::move(message), std::move(heard));
      if (random() % 4 == 0) talk(*client, peer, random);
    }
    talk(*client, peer, random);
    for (const auto& [message, heard] : asked) {
      EXPECT_EQ(heard->status, 200) << heard->broken;
      EXPECT_EQ(heard->in.head, ordinary(message.head));
      EXPECT_TRUE(heard->in.body == message.body);
      EXPECT_EQ(heard->in.trailers, message.trailers);
      EXPECT_TRUE(heard->complete);
      ASSERT_EQ(peer.streams[heard->id].in.head.size(), message.head.size());
      EXPECT_EQ(peer.streams[heard->id].in.head[2], message.head[2]);
    }
    EXPECT_EQ(client->open_streams(), 0u);
  }
}

TEST(H2AgainstTheReference, OurServer) {
  for (unsigned seed = 1; seed <= 12; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937 random(seed);
    Echo echo;
    auto server = make_h2_server(patient(), &echo);
    echo.server = server.get();
    Peer peer(false, random);
    std::vector<std::pair<Message, std::int32_t>> asked;
    for (int i = 0; i < 20; ++i) {
      Message message = random_message(random);
      const auto id = peer.ask(message);
      asked.emplace_back(std::move(message), id);
      if (random() % 4 == 0) talk(*server, peer, random);
    }
    talk(*server, peer, random);
    for (const auto& [message, id] : asked) {
      const Peer::Stream& stream = peer.streams[id];
      ASSERT_FALSE(stream.in.head.empty());
      EXPECT_EQ(stream.in.head[0].second, "200");
      EXPECT_EQ(ordinary(stream.in.head), ordinary(message.head));
      EXPECT_TRUE(stream.in.body == message.body);
      EXPECT_EQ(stream.in.trailers, message.trailers);
      EXPECT_TRUE(stream.closed);
      EXPECT_EQ(stream.code, 0u);
    }
    for (const auto& heard : echo.all) EXPECT_TRUE(heard->complete);
    EXPECT_EQ(server->open_streams(), 0u);
  }
}

TEST(H2AgainstTheReference, GoawayMakesLaterStreamsSafeToRetry) {
  std::mt19937 random(1);
  ConnectionRecorder events;
  Peer peer(true, random);
  auto client = make_h2_client({}, &events);
  std::vector<std::unique_ptr<StreamRecorder>> streams;
  for (int i = 0; i < 3; ++i) {
    RequestHead head;
    head.method = "POST";
    head.authority = "a";
    head.path = "/";
    streams.push_back(std::make_unique<StreamRecorder>());
    client->submit(head, false, streams.back().get());
  }
  talk(*client, peer, random, false);
  nghttp2_submit_goaway(peer.raw(), NGHTTP2_FLAG_NONE, 1, NGHTTP2_NO_ERROR, nullptr, 0);
  talk(*client, peer, random, false);
  EXPECT_EQ(events.goaways, 1);
  EXPECT_EQ(streams[0]->log, "");
  EXPECT_EQ(streams[1]->log, "reset(safe)");
  EXPECT_EQ(streams[2]->log, "reset(safe)");
  StreamRecorder late;
  RequestHead head;
  head.method = "GET";
  head.authority = "a";
  client->submit(head, true, &late);
  (void)client->feed({});
  EXPECT_EQ(late.log, "reset(safe)");
}

}  // namespace
}  // namespace mizzen::http
