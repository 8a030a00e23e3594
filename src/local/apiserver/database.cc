#include "local/apiserver/database.h"

#include <sqlite3.h>

namespace mizzen::local {

namespace {

constexpr const char* kSchema = R"(
PRAGMA journal_mode=WAL;
PRAGMA synchronous=NORMAL;
CREATE TABLE IF NOT EXISTS objects(resource TEXT NOT NULL, ns TEXT NOT NULL, name TEXT NOT NULL,
  body TEXT NOT NULL, PRIMARY KEY(resource, ns, name)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS meta(key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
)";

void bind_text(sqlite3_stmt* statement, int index, const std::string& text) {
  sqlite3_bind_text(statement, index, text.data(), static_cast<int>(text.size()), SQLITE_TRANSIENT);
}

std::string column(sqlite3_stmt* statement, int index) {
  const auto* text = reinterpret_cast<const char*>(sqlite3_column_text(statement, index));
  return text ? std::string(text, static_cast<std::size_t>(sqlite3_column_bytes(statement, index)))
              : std::string();
}

}  // namespace

Result<std::unique_ptr<Store::Database>> Store::Database::open(const std::string& path) {
  std::unique_ptr<Database> database(new Database);
  if (sqlite3_open(path.c_str(), &database->db_) != SQLITE_OK) {
    return fail(Code::kInternal, path + ": " + sqlite3_errmsg(database->db_));
  }
  sqlite3_busy_timeout(database->db_, 2000);
  MIZZEN_CHECKED(database->run(kSchema));
  MIZZEN_TRY(database->put_,
             database->prepare("INSERT OR REPLACE INTO objects VALUES(?, ?, ?, ?)"));
  MIZZEN_TRY(database->erase_,
             database->prepare("DELETE FROM objects WHERE resource=? AND ns=? AND name=?"));
  MIZZEN_TRY(database->version_,
             database->prepare("INSERT OR REPLACE INTO meta VALUES('version', ?)"));
  return database;
}

Store::Database::~Database() {
  for (auto* statement : {put_, erase_, version_}) sqlite3_finalize(statement);
  sqlite3_close(db_);
}

Status Store::Database::run(const char* sql) {
  if (sqlite3_exec(db_, sql, nullptr, nullptr, nullptr) != SQLITE_OK) {
    return fail(Code::kInternal, std::string("object database: ") + sqlite3_errmsg(db_));
  }
  return {};
}

Result<sqlite3_stmt*> Store::Database::prepare(const char* sql) {
  sqlite3_stmt* statement = nullptr;
  if (sqlite3_prepare_v2(db_, sql, -1, &statement, nullptr) != SQLITE_OK) {
    return fail(Code::kInternal, std::string("object database: ") + sqlite3_errmsg(db_));
  }
  return statement;
}

Status Store::Database::step(sqlite3_stmt* statement) {
  const int code = sqlite3_step(statement);
  sqlite3_reset(statement);
  if (code == SQLITE_DONE || code == SQLITE_ROW) return {};
  return fail(Code::kInternal, std::string("object database: ") + sqlite3_errmsg(db_));
}

Status Store::Database::load(std::uint64_t* version,
                             const std::function<void(Key, std::string body)>& row) {
  MIZZEN_TRY(auto* read, prepare("SELECT value FROM meta WHERE key='version'"));
  if (sqlite3_step(read) == SQLITE_ROW) {
    *version = static_cast<std::uint64_t>(sqlite3_column_int64(read, 0));
  }
  sqlite3_finalize(read);
  MIZZEN_TRY(read, prepare("SELECT resource, ns, name, body FROM objects"));
  int code = SQLITE_ROW;
  while ((code = sqlite3_step(read)) == SQLITE_ROW) {
    row(Key{column(read, 0), column(read, 1), column(read, 2)}, column(read, 3));
  }
  sqlite3_finalize(read);
  if (code != SQLITE_DONE) {
    return fail(Code::kInternal, std::string("object database: ") + sqlite3_errmsg(db_));
  }
  return {};
}

Status Store::Database::write_pending(std::uint64_t version) {
  for (const auto& [key, object] : pending_) {
    sqlite3_stmt* statement = object ? put_ : erase_;
    bind_text(statement, 1, key.resource);
    bind_text(statement, 2, key.ns);
    bind_text(statement, 3, key.name);
    if (object) {
      bind_text(statement, 4, object->dump(-1, ' ', false, Json::error_handler_t::replace));
    }
    MIZZEN_CHECKED(step(statement));
  }
  sqlite3_bind_int64(version_, 1, static_cast<sqlite3_int64>(version));
  return step(version_);
}

Status Store::Database::flush(std::uint64_t version) {
  if (pending_.empty()) return {};
  MIZZEN_CHECKED(run("BEGIN IMMEDIATE"));
  Status written = write_pending(version);
  if (written) written = run("COMMIT");
  if (!written) {
    (void)run("ROLLBACK");
    return written;
  }
  pending_.clear();
  return {};
}

}  // namespace mizzen::local
