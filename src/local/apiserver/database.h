// The objects' SQLite file: table objects(resource, ns, name, version, body), one row per object.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "base/result.h"
#include "local/apiserver/store.h"

struct sqlite3;
struct sqlite3_stmt;

namespace mizzen::local {

// Writes are collected by put() and erase() and reach the file, in one transaction, with flush().
// WAL with synchronous=NORMAL: a crash of the machine may lose the last moments, never consistency.
class Store::Database {
 public:
  static Result<std::unique_ptr<Database>> open(const std::string& path);
  ~Database();

  // Calls `row` for every object kept. `version` receives the highest version ever written.
  Status load(std::uint64_t* version, const std::function<void(Key, std::string body)>& row);

  void put(const Key& key, Object object) { pending_[key] = std::move(object); }
  void erase(const Key& key) { pending_[key] = nullptr; }
  bool dirty() const { return !pending_.empty(); }
  // On an error all stays pending and is tried again by the next flush.
  Status flush(std::uint64_t version);

 private:
  Database() = default;
  Status run(const char* sql);
  Result<sqlite3_stmt*> prepare(const char* sql);
  Status step(sqlite3_stmt* statement);
  Status write_pending(std::uint64_t version);

  sqlite3* db_ = nullptr;
  sqlite3_stmt* put_ = nullptr;
  sqlite3_stmt* erase_ = nullptr;
  sqlite3_stmt* version_ = nullptr;
  std::map<Key, Object> pending_;
};

}  // namespace mizzen::local
