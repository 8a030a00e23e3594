// A server that speaks MySQL's protocol over a SQLite database in memory: what the samples'
// manifests need where they have MySQL, without MySQL. Text queries in SQLite's dialect; no
// prepared statements, no TLS of its own.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "samples/wire.h"

namespace mizzen::samples {

class MysqlServer {
 public:
  // `seed`: statements run at the start. `passwords`: by user.
  static Result<std::unique_ptr<MysqlServer>> make(const std::string& seed,
                                                   std::map<std::string, std::string> passwords);
  ~MysqlServer();
  // The result must not outlive this.
  Result<std::unique_ptr<TcpServer>> serve(io::Loop& loop, std::uint16_t port);

 private:
  class Talk;
  struct Database;
  MysqlServer();
  std::unique_ptr<Database> database_;
  std::map<std::string, std::string> passwords_;
  std::uint32_t connections_ = 0;
};

}  // namespace mizzen::samples
