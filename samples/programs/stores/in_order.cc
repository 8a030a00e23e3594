#include "samples/stores/in_order.h"

namespace mizzen::samples {
namespace {

constexpr auto kPatience = std::chrono::seconds(5);

}  // namespace

InOrderClient::InOrderClient(io::Loop& loop, std::string host, std::uint16_t port, Take take)
    : loop_(loop),
      take_(std::move(take)),
      client_(loop, std::move(host), port,
              {[this] { opened(); }, [this](std::string& bytes) { input(bytes); },
               [this](const Error& error) { failed(error); }}),
      patience_(io::Timer::of<&InOrderClient::late>(loop, this)) {}
InOrderClient::~InOrderClient() = default;

void InOrderClient::ask(std::string request, Done done) {
  if (waiting_.empty()) patience_.arm(kPatience);
  waiting_.push_back(std::move(done));
  if (client_.open()) return client_.send(request);
  unsent_ += request;
  client_.connect();
}

void InOrderClient::opened() { client_.send(std::exchange(unsent_, {})); }

void InOrderClient::input(std::string& bytes) {
  while (std::optional<Taken> taken = take_(bytes)) {
    if (taken->broken || waiting_.empty()) {
      client_.drop();
      return failed(taken->answer ? Error{.code = Code::kProtocol, .message = "nobody asked"}
                                  : taken->answer.error());
    }
    Done done = std::move(waiting_.front());
    waiting_.pop_front();
    if (waiting_.empty()) {
      patience_.cancel();
    } else {
      patience_.arm(kPatience);
    }
    loop_.defer([done = std::move(done), answer = std::move(taken->answer)] { done(answer); });
  }
}

void InOrderClient::failed(const Error& error) {
  patience_.cancel();
  unsent_.clear();
  for (Done& done : std::exchange(waiting_, {})) {
    loop_.defer([done = std::move(done), error] { done(std::unexpected(error)); });
  }
}

void InOrderClient::late() {
  client_.drop();
  failed({.code = Code::kTimeout, .message = client_.name() + ": no answer within 5 s"});
}

}  // namespace mizzen::samples
