// Probes against servers of this process, on real sockets.
#include "local/runtime/probe.h"

#include <gtest/gtest.h>

#include "net/grpc.h"
#include "net/http_server.h"
#include "pki/certificate.h"

namespace mizzen::local {
namespace {

using std::chrono::hours;
using std::chrono::seconds;

class ProbeTest : public testing::Test {
 protected:
  // A server whose answers `serve` gives; its port.
  int serve(net::Handler handler, io::TlsContextRef tls = nullptr) {
    net::HttpServerOptions options;
    options.tls = std::move(tls);
    server_ = std::make_unique<net::HttpServer>(loop_, std::move(options), std::move(handler));
    return server_->listen(io::Address::loopback(0))->port();
  }
  static io::TlsContextRef nobodys_certificate() {
    auto key = *pki::PrivateKey::generate_p256();
    auto root = *pki::make_root("somebody", system_clock().wall(), hours(1));
    pki::IssueOptions options;
    options.names.dns = {"elsewhere.test"};
    options.not_before = system_clock().wall() - hours(1);
    options.not_after = system_clock().wall() + hours(1);
    io::TlsServerOptions tls;
    tls.identity = {(*pki::issue(key.public_key(), options, root.key, &root.certificate)).to_pem(),
                    key.to_pem()};
    tls.alpn = {"http/1.1"};
    return *io::make_tls_server_context(tls);
  }
  // What the probe says first; nothing within five seconds is "silence".
  std::string run(Json spec, bool initially_ok = false, ProbeExec exec = {}) {
    spec["periodSeconds"] = 1;
    spec["failureThreshold"] = 1;
    const Json container = {{"ports", Json::array({{{"name", "web"}, {"containerPort", port_}}})}};
    std::string said = "silence";
    auto probe =
        Probe::start(loop_, spec, {"127.0.0.1", &container, std::move(exec)}, initially_ok,
                     [&](bool ok, const std::string& message) { said = ok ? "ok" : message; });
    if (!probe) return probe.error().message;
    loop_.run_until([&] { return said != "silence"; }, seconds(5));
    return said;
  }
  io::EpollLoop loop_;
  std::unique_ptr<net::HttpServer> server_;
  int port_ = 1;
};

TEST_F(ProbeTest, HttpByNameOfAPort) {
  port_ = serve([](const std::shared_ptr<net::Exchange>& exchange) {
    exchange->respond(exchange->path() == "/ok" ? 204 : 500, {}, "");
  });
  EXPECT_EQ(run({{"httpGet", {{"port", "web"}, {"path", "/ok"}}}}), "ok");
  EXPECT_EQ(run({{"httpGet", {{"port", "web"}, {"path", "/no"}}}}, true),
            "HTTP probe failed with statuscode: 500");
  EXPECT_EQ(run({{"httpGet", {{"port", "other"}}}}), "httpGet.port is no port of the container");
}

TEST_F(ProbeTest, HttpsWithWhateverCertificate) {
  const int port =
      serve([](const std::shared_ptr<net::Exchange>& exchange) { exchange->respond(200, {}, ""); },
            nobodys_certificate());
  EXPECT_EQ(run({{"httpGet", {{"port", port}, {"scheme", "HTTPS"}}}}), "ok");
}

TEST_F(ProbeTest, GrpcHealth) {
  net::GrpcServer grpc;
  grpc.unary("/grpc.health.v1.Health/Check",
             [](std::string request, const std::shared_ptr<net::GrpcStream>&,
                const net::GrpcServer::UnaryDone& done) {
               const bool known = request.empty() || request == "\x0a\x04good";
               done({}, known ? "\x08\x01" : "\x08\x02");
             });
  const int port = serve([&grpc](const std::shared_ptr<net::Exchange>& exchange) {
    if (!grpc.handle(exchange)) exchange->respond(404, {}, "");
  });
  EXPECT_EQ(run({{"grpc", {{"port", port}}}}), "ok");
  EXPECT_EQ(run({{"grpc", {{"port", port}, {"service", "good"}}}}), "ok");
  EXPECT_EQ(run({{"grpc", {{"port", port}, {"service", "bad"}}}}, true),
            "service \"bad\" is not SERVING");
}

TEST_F(ProbeTest, TcpAndCommands) {
  const int port = serve([](const std::shared_ptr<net::Exchange>&) {});
  EXPECT_EQ(run({{"tcpSocket", {{"port", port}}}}), "ok");
  auto exits_with = [this](int code) -> ProbeExec {
    return [this, code](std::vector<std::string>, Duration, std::function<void(Result<int>)> done) {
      loop_.defer([done, code] { done(code); });
    };
  };
  const Json exec = {{"exec", {{"command", {"true"}}}}};
  EXPECT_EQ(run(exec, false, exits_with(0)), "ok");
  EXPECT_EQ(run(exec, true, exits_with(3)), "command exited with 3");
  EXPECT_NE(run(Json::object()).find("one of httpGet"), std::string::npos);
}

}  // namespace
}  // namespace mizzen::local
