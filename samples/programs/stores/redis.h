// A client of Redis (RESP2, https://redis.io/docs/reference/protocol-spec): what sessions need.
#pragma once

#include "samples/stores/in_order.h"

namespace mizzen::samples {

class RedisClient {
 public:
  RedisClient(io::Loop& loop, std::string host, std::uint16_t port);

  // One command and its words. The answer: a string, a number, null, or an array of these.
  void command(const std::vector<std::string>& words, InOrderClient::Done done);

 private:
  InOrderClient client_;
};

// One command as RESP sends it.
std::string resp_command(const std::vector<std::string>& words);
// Takes one RESP value from the front of `bytes`, as InOrderClient::Take. Arrays nest to 8 levels.
std::optional<InOrderClient::Taken> take_resp(std::string& bytes);

}  // namespace mizzen::samples
