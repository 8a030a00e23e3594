#include "traffic.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "base/strings.h"
#include "io/listener.h"
#include "mesh.h"
#include "net/http_client.h"
#include "net/http_server.h"

namespace mizzen::sim {
namespace {

// What a backend saw of one request.
struct Seen {
  std::string cluster, path, authority;
  std::map<std::string, std::string> headers;
};

constexpr Duration kPatience = std::chrono::seconds(20);

// A ClientHello with this server name: enough for a proxy that looks and passes on (RFC 8446 4.1.2,
// RFC 6066 3).
std::string client_hello(const std::string& sni) {
  const auto number = [](std::size_t value, int bytes) {
    std::string out;
    for (int i = bytes - 1; i >= 0; --i) out += static_cast<char>(value >> (8 * i));
    return out;
  };
  const auto sized = [&](const std::string& text, int bytes) {
    return number(text.size(), bytes) + text;
  };
  const std::string name = sized(std::string(1, '\0') + sized(sni, 2), 2);
  const std::string extensions = number(0, 2) + sized(name, 2);
  const std::string hello = number(0x0303, 2) + std::string(32, 'r') + sized("", 1) +
                            sized(number(0x1301, 2), 2) + sized(std::string(1, '\0'), 1) +
                            sized(extensions, 2);
  const std::string handshake = "\x01" + sized(hello, 3);
  return "\x16" + number(0x0301, 2) + sized(handshake, 2);
}

std::map<std::string, std::string> to_map(const auto& fields) {
  std::map<std::string, std::string> out;
  for (const auto& [name, value] : fields) {
    std::string& held = out[lower(name)];
    if (!held.empty()) held += ",";
    held += value;
  }
  return out;
}

// Stands for every endpoint of one cluster: answers HTTP, and any other bytes, with its name.
class Backend {
 public:
  Backend(io::Loop& loop, std::string cluster, std::vector<Seen>* log)
      : loop_(loop),
        cluster_(std::move(cluster)),
        log_(*log),
        http_(loop, {}, [this](std::shared_ptr<net::Exchange> exchange) { answer(exchange); }) {
    listener_ = *io::Listener::listen(
        loop, io::Address::loopback(0), {}, [this](std::unique_ptr<io::Stream> stream) {
          sniffers_.push_back(std::make_unique<Sniffer>(*this, std::move(stream)));
        });
  }
  const io::Address& address() const { return listener_->address(); }
  // What the next answers are: these statuses in turn (the last one stays), each after `pause`.
  void behave(std::vector<int> statuses, Duration pause) {
    statuses_ = std::move(statuses);
    pause_ = pause;
  }

 private:
  // Waits for a connection's first bytes.
  class Sniffer final : public io::StreamHandler {
   public:
    Sniffer(Backend& owner, std::unique_ptr<io::Stream> stream)
        : owner_(owner), stream_(std::move(stream)) {
      stream_->set_handler(this);
    }
    void on_readable() override {
      std::array<std::byte, 4> first{};
      const io::IoResult got = stream_->peek(first);
      if (got.status != io::IoStatus::kOk || got.bytes < first.size()) return;
      const char begin = static_cast<char>(first[0]);
      if (begin >= 'A' && begin <= 'Z') {
        stream_->set_handler(nullptr);
        owner_.http_.serve(std::move(stream_));
      } else {
        stream_->set_handler(nullptr);
        stream_->write(owner_.cluster_ + "\n");
        stream_->shutdown_write();  // or the proxy keeps the connection, and its place in limits
      }
    }
    void on_writable() override {}
    void on_error(const Error&) override {}

   private:
    Backend& owner_;
    std::unique_ptr<io::Stream> stream_;
  };

  void answer(const std::shared_ptr<net::Exchange>& exchange) {
    std::vector<std::pair<std::string, std::string>> fields;
    for (const auto& field : exchange->request().headers) {
      fields.emplace_back(field.name, field.value);
    }
    log_.push_back({cluster_, std::string(exchange->target()),
                    std::string(exchange->request().authority), to_map(fields)});
    int status = 200;
    if (!statuses_.empty()) {
      status = statuses_.front();
      if (statuses_.size() > 1) statuses_.erase(statuses_.begin());
    }
    const auto reply = [exchange, status, cluster = cluster_] {
      exchange->respond(status, {{"x-backend", cluster}}, cluster);
    };
    if (pause_ == Duration::zero()) {
      reply();
    } else {
      loop_.after(pause_, reply);
    }
  }

  io::Loop& loop_;
  std::string cluster_;
  std::vector<Seen>& log_;
  net::HttpServer http_;
  std::unique_ptr<io::Listener> listener_;
  std::vector<std::unique_ptr<Sniffer>> sniffers_;
  std::vector<int> statuses_;
  Duration pause_{};
};

// Sends bytes and keeps what comes back.
class ByteClient final : public io::StreamHandler {
 public:
  ByteClient(io::Loop& loop, const io::Address& to, std::string bytes) : bytes_(std::move(bytes)) {
    connecting_ = io::connect(loop, to, {}, [this](Result<std::unique_ptr<io::Stream>> stream) {
      if (!stream) {
        over_ = true;
        return;
      }
      stream_ = std::move(*stream);
      stream_->set_handler(this);
      stream_->write(bytes_);
    });
  }
  bool over() const { return over_; }
  const std::string& received() const { return received_; }

  void on_readable() override {
    std::array<std::byte, 512> buffer;
    while (true) {
      const io::IoResult got = stream_->read(buffer);
      if (got.status == io::IoStatus::kWouldBlock) return;
      if (got.status != io::IoStatus::kOk) {
        over_ = true;
        return;
      }
      received_.append(reinterpret_cast<const char*>(buffer.data()), got.bytes);
      over_ = over_ || received_.find('\n') != std::string::npos;
    }
  }
  void on_writable() override {}
  void on_error(const Error&) override { over_ = true; }

 private:
  std::string bytes_;
  std::string received_;
  std::unique_ptr<io::Connecting> connecting_;
  std::unique_ptr<io::Stream> stream_;
  bool over_ = false;
};

}  // namespace

struct Traffic::Core {
  std::vector<Seen> seen;
  std::map<std::string, std::unique_ptr<Backend>> backends;
};

Traffic::Traffic() : core_(std::make_unique<Core>()) {}
Traffic::~Traffic() = default;

io::Address Traffic::backend(const std::string& cluster) {
  auto& held = core_->backends[cluster];
  if (!held) held = std::make_unique<Backend>(loop_, cluster, &core_->seen);
  return held->address();
}

Outcome Traffic::send(const io::Address& to, const Row& row, const Ask& ask,
                      const std::string& preamble) {
  behave(row);
  return row.has("ask") ? request(to, row, ask) : connect(to, row, preamble);
}

void Traffic::behave(const Row& row) {
  std::vector<int> statuses;
  if (row.has("backend")) statuses = row.json["backend"].get<std::vector<int>>();
  const Duration pause = row.has("slow") ? duration_of(row.text("slow")) : Duration::zero();
  for (auto& [name, held] : core_->backends) held->behave(statuses, pause);
}

Outcome Traffic::request(const io::Address& to, const Row& row, const Ask& ask) {
  net::HttpClientOptions options;
  options.base = *net::parse_base_url((ask.tls ? "https://" : "http://") + to.to_string());
  if (ask.tls) {
    io::TlsClientOptions tls;
    tls.trust_bundle_pem = root_pem();
    if (row.has("shows")) {
      const std::string name = row.text("shows");
      const Certified own = name == "revoked.client" ? revoked() : certify(name);
      tls.identity = {own.chain_pem, own.key_pem};
    }
    options.tls = *io::make_tls_client_context(tls);
    options.tls_host = row.text("sni", ask.host);
    options.version = net::HttpVersion::kHttp1;
  }
  net::HttpClient client(loop_, options);
  net::Request request;
  request.method = ask.method;
  request.target = ask.path;
  request.headers = {{"host", ask.authority}};
  if (row.has("headers")) {
    for (const auto& [name, value] : row.json["headers"].items()) {
      request.headers.emplace_back(name, value.get<std::string>());
    }
  }
  core_->seen.clear();
  const MonoTime begin = loop_.now();
  std::optional<Result<net::Response>> got;
  client.fetch(std::move(request),
               [&](Result<net::Response> response) { got = std::move(response); });
  loop_.run_until([&] { return got.has_value(); }, kPatience);
  Outcome outcome;
  outcome.delay = loop_.now() - begin;
  if (!got || !*got) return outcome;  // refused: no status
  const net::Response& response = **got;
  outcome.status = response.status;
  outcome.body = response.body;
  outcome.location = response.header("location");
  outcome.answers = to_map(response.headers);
  outcome.cluster = response.header("x-backend");
  const std::size_t copies = row.has("mirrored") ? row.json["mirrored"].size() : 0;
  const std::size_t expected = copies + (outcome.cluster.empty() ? 0 : 1);
  loop_.run_until([&] { return core_->seen.size() >= expected; }, kPatience);
  for (const Seen& seen : core_->seen) {
    if (seen.cluster != outcome.cluster) {
      outcome.mirrored.push_back(seen.cluster);
      continue;
    }
    outcome.path = seen.path;
    outcome.authority = seen.authority;
    outcome.sees = seen.headers;
  }
  std::ranges::sort(outcome.mirrored);
  return outcome;
}

Outcome Traffic::connect(const io::Address& to, const Row& row, const std::string& preamble) {
  const std::string bytes = row.has("sni") ? client_hello(row.text("sni")) : "\x01\x02\x03 hello\n";
  ByteClient client(loop_, to, preamble + bytes);
  loop_.run_until([&] { return client.over(); }, kPatience);
  Outcome outcome;
  outcome.cluster = client.received().substr(0, client.received().find('\n'));
  return outcome;
}

}  // namespace mizzen::sim
