#include "samples/stores/mysql_client.h"

#include <fmt/format.h>

namespace mizzen::samples {
namespace {

constexpr auto kPatience = std::chrono::seconds(5);

std::uint8_t kind_of(const mysql::Packet& packet) {
  return packet.body.empty() ? 0 : static_cast<std::uint8_t>(packet.body.front());
}

bool is_eof(const mysql::Packet& packet) {
  return kind_of(packet) == 0xfe && packet.body.size() < 9;
}

}  // namespace

MysqlClient::MysqlClient(io::Loop& loop, std::string host, std::uint16_t port, MysqlAccount account)
    : loop_(loop),
      account_(std::move(account)),
      client_(loop, std::move(host), port,
              {[this] { opened(); }, [this](std::string& bytes) { input(bytes); },
               [this](const Error& error) { failed(error); }}),
      patience_(io::Timer::of<&MysqlClient::late>(loop, this)) {}

void MysqlClient::query(std::string sql, Done done) {
  waiting_.push_back({std::move(sql), std::move(done)});
  if (waiting_.size() == 1) patience_.arm(kPatience);
  if (!client_.open()) return client_.connect();
  if (waiting_.size() == 1 && state_ == State::kReady) next();
}

void MysqlClient::next() {
  if (waiting_.empty()) return patience_.cancel();
  patience_.arm(kPatience);
  state_ = State::kColumns;
  rows_.clear();
  rows_follow_ = false;
  client_.send(mysql::packet(0, std::string(1, mysql::kQuery) + waiting_.front().sql));
}

void MysqlClient::input(std::string& bytes) {
  for (;;) {
    auto packet = mysql::take_packet(bytes);
    Status status = packet ? Status() : std::unexpected(packet.error());
    if (status && !*packet) return;
    if (status) status = take(**packet);
    if (status) continue;
    client_.drop();
    return failed(status.error());
  }
}

Status MysqlClient::take(const mysql::Packet& packet) {
  switch (state_) {
    case State::kGreeting:
      return take_greeting(packet);
    case State::kLogin:
      return take_login_answer(packet);
    case State::kColumns:
    case State::kRows:
      return take_answer(packet);
    case State::kIdle:
    case State::kReady:
      break;
  }
  return fail(Code::kProtocol, "MySQL answered what nobody asked");
}

Status MysqlClient::take_greeting(const mysql::Packet& packet) {
  MIZZEN_TRY(mysql::Greeting greeting, mysql::parse_greeting(packet.body));
  mysql::Login login;
  login.capabilities =
      mysql::kProtocol41 | mysql::kSecureConnection | mysql::kPluginAuth | mysql::kTransactions;
  if (!account_.database.empty()) login.capabilities |= mysql::kConnectWithDb;
  login.user = account_.user;
  login.database = account_.database;
  login.plugin = mysql::kNativePassword;
  login.proof = mysql::native_proof(account_.password, greeting.nonce);
  state_ = State::kLogin;
  client_.send(mysql::packet(static_cast<std::uint8_t>(packet.sequence + 1), mysql::login(login)));
  return {};
}

Status MysqlClient::take_login_answer(const mysql::Packet& packet) {
  if (kind_of(packet) == 0xff) return std::unexpected(mysql::error_of(packet.body));
  if (kind_of(packet) == 0xfe) {  // the server would have another way to sign in
    mysql::Reader reader(packet.body);
    reader.bytes(1);
    std::string_view plugin = reader.until_zero();
    if (plugin != mysql::kNativePassword) {
      return fail(Code::kUnsupported,
                  fmt::format("the account \"{}\" signs in by {}; only {} is spoken here",
                              account_.user, plugin, mysql::kNativePassword));
    }
    client_.send(
        mysql::packet(static_cast<std::uint8_t>(packet.sequence + 1),
                      mysql::native_proof(account_.password, reader.rest().substr(0, 20))));
    return {};
  }
  state_ = State::kReady;
  next();
  return {};
}

Status MysqlClient::take_answer(const mysql::Packet& packet) {
  std::uint8_t kind = kind_of(packet);
  if (kind == 0xff) {
    finish(std::unexpected(mysql::error_of(packet.body)));
    return {};
  }
  if (state_ == State::kColumns) {
    if (kind == 0) {
      finish(Rows{});
    } else {
      state_ = State::kRows;
    }
    return {};
  }
  if (is_eof(packet)) {
    if (!std::exchange(rows_follow_, true)) return {};
    finish(std::move(rows_));
    return {};
  }
  if (!rows_follow_) return {};  // a column's description: all are read as text
  mysql::Reader reader(packet.body);
  std::vector<std::string>& row = rows_.emplace_back();
  while (!reader.rest().empty() && reader.ok()) {
    bool null = static_cast<unsigned char>(reader.rest().front()) == 0xfb;
    if (null) reader.bytes(1);
    row.emplace_back(null ? std::string_view() : reader.text());
  }
  return reader.ok() ? Status() : fail(Code::kProtocol, "a row of MySQL is cut off");
}

void MysqlClient::finish(Result<Rows> rows) {
  Done done = std::move(waiting_.front().done);
  waiting_.pop_front();
  state_ = State::kReady;
  next();
  loop_.defer([done = std::move(done), rows = std::move(rows)] { done(rows); });
}

void MysqlClient::failed(const Error& error) {
  patience_.cancel();
  state_ = State::kIdle;
  for (Asked& asked : std::exchange(waiting_, {})) {
    loop_.defer([done = std::move(asked.done), error] { done(std::unexpected(error)); });
  }
}

void MysqlClient::late() {
  client_.drop();
  failed({.code = Code::kTimeout, .message = client_.name() + ": no answer within 5 s"});
}

std::string sql_quoted(std::string_view text) {
  std::string out = "'";
  for (char c : text) {
    if (c == '\0') continue;
    out.append(c == '\'' ? "''" : c == '\\' ? "\\\\" : std::string(1, c));
  }
  return out + "'";
}

}  // namespace mizzen::samples
