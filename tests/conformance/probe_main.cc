// http-probe PORT HTTP2-PORT BACKEND-PORT CASES: sends every case to the proxy on PORT, which must
// forward to BACKEND-PORT, and prints "case<TAB>what came of it". HTTP2-PORT 0: the proxy has none,
// its cases are left out.
#include <fmt/format.h>

#include <fstream>
#include <sstream>

#include "base/strings.h"
#include "probe.h"

int main(int argc, char** argv) {
  using namespace mizzen;
  if (argc != 5) {
    fmt::print(stderr, "usage: http-probe PORT HTTP2-PORT BACKEND-PORT CASES\n");
    return 64;
  }
  const auto port = parse_int<std::uint16_t>(argv[1]);
  const auto http2_port = parse_int<std::uint16_t>(argv[2]);
  const auto backend_port = parse_int<std::uint16_t>(argv[3]);
  const std::ifstream file(argv[4]);
  std::stringstream text;
  text << file.rdbuf();
  const auto cases = conformance::read_cases(text.str());
  if (!cases || !port || !http2_port || !backend_port) {
    fmt::print(stderr, "http-probe: {}\n", cases ? "a port is none" : cases.error().message);
    return 1;
  }
  auto backend = conformance::Backend::listen(*backend_port);
  if (!backend) {
    fmt::print(stderr, "http-probe: {}\n", backend.error().message);
    return 1;
  }
  for (const conformance::Case& c : *cases) {
    const std::uint16_t to = c.is_http2() ? *http2_port : *port;
    if (to == 0) continue;
    const auto seen = backend->run(c, to, std::chrono::milliseconds(1500));
    fmt::print("{}\t{}\n", c.name, conformance::summary(c, seen));
    std::fflush(stdout);
  }
  return 0;
}
