#include "samples/stores/mysql_server.h"

#include <fmt/format.h>
#include <openssl/rand.h>
#include <sqlite3.h>

#include <vector>

#include "base/strings.h"
#include "samples/stores/mysql_wire.h"

namespace mizzen::samples {
namespace {

constexpr std::size_t kMostRows = 100'000;
constexpr int kMostSteps = 20'000'000;  // of SQLite's machine, per statement: a second or so

struct TableAnswer {
  std::string error;  // "" for none
  std::vector<std::string> columns;
  std::vector<std::vector<std::optional<std::string>>> rows;
  std::uint64_t changed = 0;
};

// What MySQL clients ask by themselves, in words that SQLite knows; "" for a statement that has
// nothing to do here.
std::string in_sqlite(std::string_view sql) {
  std::string head = lower(sql.substr(0, 64));
  while (head.ends_with(';') || head.ends_with(' ')) head.pop_back();
  if (head.starts_with("set ") || head.starts_with("use ")) return "";
  if (head == "show databases") return "SELECT 'socksdb' AS \"Database\"";
  if (head == "show tables")
    return "SELECT name AS \"Tables\" FROM sqlite_master WHERE type='table'";
  if (head == "select database()") return "SELECT 'socksdb' AS \"database()\"";
  if (head.starts_with("select @@")) return "SELECT 'Mizzen samples' AS \"" + head.substr(7) + "\"";
  return std::string(sql);
}

}  // namespace

struct MysqlServer::Database {
  ~Database() { sqlite3_close(db); }

  TableAnswer run(const std::string& sql) {
    TableAnswer answer;
    if (sql.empty()) return answer;
    sqlite3_stmt* prepared = nullptr;
    if (sqlite3_prepare_v2(db, sql.c_str(), -1, &prepared, nullptr) != SQLITE_OK) {
      answer.error = sqlite3_errmsg(db);
      return answer;
    }
    std::unique_ptr<sqlite3_stmt, int (*)(sqlite3_stmt*)> statement(prepared, sqlite3_finalize);
    if (prepared == nullptr) return answer;  // a comment, or nothing
    int columns = sqlite3_column_count(prepared);
    for (int i = 0; i < columns; ++i) answer.columns.emplace_back(sqlite3_column_name(prepared, i));
    steps = 0;
    int code = SQLITE_ROW;
    while ((code = sqlite3_step(prepared)) == SQLITE_ROW && answer.rows.size() < kMostRows) {
      auto& row = answer.rows.emplace_back();
      for (int i = 0; i < columns; ++i) {
        const auto* text = reinterpret_cast<const char*>(sqlite3_column_text(prepared, i));
        row.emplace_back(
            text == nullptr
                ? std::nullopt
                : std::optional(std::string(
                      text, static_cast<std::size_t>(sqlite3_column_bytes(prepared, i)))));
      }
    }
    if (code == SQLITE_ROW) answer.error = "more than 100,000 rows";
    if (code != SQLITE_ROW && code != SQLITE_DONE) answer.error = sqlite3_errmsg(db);
    if (columns == 0) answer.changed = static_cast<std::uint64_t>(sqlite3_changes(db));
    return answer;
  }

  sqlite3* db = nullptr;
  int steps = 0;
};

class MysqlServer::Talk final : public Conversation {
 public:
  Talk(Wire& wire, MysqlServer& server) : wire_(wire), server_(server), nonce_(20, '\0') {
    RAND_bytes(reinterpret_cast<unsigned char*>(nonce_.data()), static_cast<int>(nonce_.size()));
    for (char& c : nonce_) c = static_cast<char>((c & 0x3f) + 0x21);  // no zero, no '$'
    wire_.send(mysql::packet(0, mysql::greeting(nonce_, ++server_.connections_)));
  }

  void input(std::string& bytes) override {
    for (;;) {
      auto packet = mysql::take_packet(bytes);
      if (!packet) return wire_.finish();
      if (!*packet) return;
      sequence_ = (*packet)->sequence;
      if (!signed_in_) {
        sign_in((*packet)->body);
      } else {
        command((*packet)->body);
      }
    }
  }

 private:
  void reply(std::string_view body) { wire_.send(mysql::packet(++sequence_, body)); }

  void sign_in(std::string_view body) {
    // A second packet of the sign-in is the proof alone, after the switch of plug-ins below.
    Result<mysql::Login> login = mysql::Login{};
    if (user_.empty()) {
      login = mysql::parse_login(body);
      if (!login) {
        reply(mysql::error_packet(1043, "08S01", login.error().message));
        return wire_.finish();
      }
      user_ = login->user;
      if (!login->plugin.empty() && login->plugin != mysql::kNativePassword) {
        return reply("\xfe" + std::string(mysql::kNativePassword) + '\0' + nonce_ + '\0');
      }
    } else {
      login->proof = body;
    }
    auto known = server_.passwords_.find(user_);
    if (known == server_.passwords_.end() ||
        mysql::native_proof(known->second, nonce_) != login->proof) {
      reply(mysql::error_packet(1045, "28000", fmt::format("Access denied for user '{}'", user_)));
      return wire_.finish();
    }
    signed_in_ = true;
    reply(mysql::ok_packet(0));
  }

  void command(std::string_view body) {
    std::uint8_t kind = body.empty() ? 0 : static_cast<std::uint8_t>(body.front());
    if (kind == mysql::kQuit) return wire_.finish();
    if (kind == mysql::kPing || kind == mysql::kInitDb) return reply(mysql::ok_packet(0));
    if (kind == mysql::kFieldList) return reply(mysql::eof_packet());
    if (kind == mysql::kQuery) return query(body.substr(1));
    reply(mysql::error_packet(
        1047, "08S01", fmt::format("command {} is not served here: send text queries", kind)));
  }

  void query(std::string_view sql) {
    TableAnswer answer = server_.database_->run(in_sqlite(sql));
    if (!answer.error.empty()) return reply(mysql::error_packet(1064, "42000", answer.error));
    if (answer.columns.empty()) return reply(mysql::ok_packet(answer.changed));
    std::string count;
    mysql::append_length(count, answer.columns.size());
    reply(count);
    for (const std::string& column : answer.columns) reply(mysql::text_column("", column));
    reply(mysql::eof_packet());
    for (const auto& row : answer.rows) {
      std::string line;
      for (const auto& value : row) {
        if (value) mysql::append_text(line, *value);
        if (!value) line.push_back('\xfb');
      }
      reply(line);
    }
    reply(mysql::eof_packet());
  }

  Wire& wire_;
  MysqlServer& server_;
  std::string nonce_;
  std::string user_;
  bool signed_in_ = false;
  std::uint8_t sequence_ = 0;
};

MysqlServer::MysqlServer() : database_(std::make_unique<Database>()) {}
MysqlServer::~MysqlServer() = default;

Result<std::unique_ptr<MysqlServer>> MysqlServer::make(
    const std::string& seed, std::map<std::string, std::string> passwords) {
  std::unique_ptr<MysqlServer> server(new MysqlServer());
  Database& database = *server->database_;
  if (sqlite3_open(":memory:", &database.db) != SQLITE_OK) {
    return fail(Code::kInternal, "SQLite has no memory for a database");
  }
  char* message = nullptr;
  if (sqlite3_exec(database.db, seed.c_str(), nullptr, nullptr, &message) != SQLITE_OK) {
    std::string why = message == nullptr ? "unknown" : message;
    sqlite3_free(message);
    return fail(Code::kInternal, "the database's first statements: " + why);
  }
  // No other files, and no statement without end.
  sqlite3_limit(database.db, SQLITE_LIMIT_ATTACHED, 0);
  sqlite3_progress_handler(
      database.db, 1000,
      [](void* self) { return (static_cast<Database*>(self)->steps += 1000) > kMostSteps ? 1 : 0; },
      &database);
  server->passwords_ = std::move(passwords);
  return server;
}

Result<std::unique_ptr<TcpServer>> MysqlServer::serve(io::Loop& loop, std::uint16_t port) {
  return TcpServer::listen(loop, {port},
                           [this](Wire& wire) { return std::make_unique<Talk>(wire, *this); });
}

}  // namespace mizzen::samples
