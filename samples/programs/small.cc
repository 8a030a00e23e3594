#include "samples/small.h"

#include <fmt/format.h>

namespace mizzen::samples {
namespace {

constexpr std::size_t kLongestLine = 64 * 1024;

class Echo final : public Conversation {
 public:
  Echo(Wire& wire, std::string prefix) : wire_(wire), prefix_(std::move(prefix)) {}

  void input(std::string& bytes) override {
    for (std::size_t end; (end = bytes.find('\n')) != bytes.npos;) {
      wire_.send(fmt::format("{} {}\n", prefix_, std::string_view(bytes).substr(0, end)));
      bytes.erase(0, end + 1);
    }
    if (bytes.size() > kLongestLine) wire_.finish();
  }

 private:
  Wire& wire_;
  std::string prefix_;
};

}  // namespace

Handler helloworld() {
  return [](const Call& call, const Answer& answer) {
    if (call.path == "/health") return answer(text(200, "Helloworld is healthy"));
    if (call.path != "/hello") return answer(text(404, "Not Found"));
    answer(text(200, fmt::format("Hello version: {}, instance: {}\n",
                                 env_or("SERVICE_VERSION", "v1"), env_or("HOSTNAME", "unknown"))));
  };
}

Result<std::unique_ptr<TcpServer>> tcp_echo(io::Loop& loop, const std::vector<std::uint16_t>& ports,
                                            const std::string& prefix) {
  return TcpServer::listen(loop, ports,
                           [prefix](Wire& wire) { return std::make_unique<Echo>(wire, prefix); });
}

}  // namespace mizzen::samples
