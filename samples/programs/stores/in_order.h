// A client of a store that answers requests in the order in which they came: as many as one likes
// may be under way on its one connection.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "io/loop.h"
#include "samples/wire.h"

namespace mizzen::samples {

using Json = nlohmann::ordered_json;

class InOrderClient {
 public:
  using Done = std::function<void(Result<Json>)>;
  // Takes one whole answer from the front of `bytes`; nothing when more is needed. An error of the
  // protocol ends the connection; an error that the store answered goes to its request.
  struct Taken {
    Result<Json> answer;
    bool broken = false;
  };
  using Take = std::function<std::optional<Taken>(std::string& bytes)>;

  InOrderClient(io::Loop& loop, std::string host, std::uint16_t port, Take take);
  ~InOrderClient();

  // `done` is called once, never before this returns: with the answer, or an error when the store
  // cannot be reached or has not answered within 5 s.
  void ask(std::string request, Done done);
  std::string name() const { return client_.name(); }

 private:
  void opened();
  void input(std::string& bytes);
  void failed(const Error& error);
  void late();

  io::Loop& loop_;
  Take take_;
  WireClient client_;
  io::Timer patience_;
  std::string unsent_;
  std::deque<Done> waiting_;
};

}  // namespace mizzen::samples
