// A client of MySQL and MariaDB: text queries, one after another, on one connection.
#pragma once

#include <deque>
#include <functional>
#include <string>
#include <vector>

#include "io/loop.h"
#include "samples/stores/mysql_wire.h"
#include "samples/wire.h"

namespace mizzen::samples {

struct MysqlAccount {
  std::string user;
  std::string password;
  std::string database;
};

class MysqlClient {
 public:
  using Rows = std::vector<std::vector<std::string>>;  // NULL reads ""
  using Done = std::function<void(Result<Rows>)>;

  MysqlClient(io::Loop& loop, std::string host, std::uint16_t port, MysqlAccount account);

  // `done` is called once, never before this returns; within 5 s. A statement without a result
  // gives no rows.
  void query(std::string sql, Done done);

 private:
  struct Asked {
    std::string sql;
    Done done;
  };
  enum class State : std::uint8_t { kIdle, kGreeting, kLogin, kReady, kColumns, kRows };

  void opened() { state_ = State::kGreeting; }
  void input(std::string& bytes);
  Status take(const mysql::Packet& packet);
  Status take_greeting(const mysql::Packet& packet);
  Status take_login_answer(const mysql::Packet& packet);
  Status take_answer(const mysql::Packet& packet);
  void next();
  void finish(Result<Rows> rows);
  void failed(const Error& error);
  void late();

  io::Loop& loop_;
  MysqlAccount account_;
  WireClient client_;
  io::Timer patience_;
  State state_ = State::kIdle;
  bool rows_follow_ = false;  // the columns are through
  std::deque<Asked> waiting_;
  Rows rows_;
};

// `text` between quotes, for a statement.
std::string sql_quoted(std::string_view text);

}  // namespace mizzen::samples
