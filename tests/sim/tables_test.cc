// Every row of tables/*.yaml, twice: decided in process, and over real sockets. The two must agree
// with the row, and so with each other.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <random>

#include "base/strings.h"
#include "simulator.h"
#include "sockets.h"

namespace mizzen::sim {
namespace {

namespace fs = std::filesystem;

const fs::path kTables = "tests/sim/tables";

constexpr int kDraws = 20'000;  // in process
constexpr int kRequests = 400;  // over sockets
constexpr std::size_t kLeastRows = 300;

std::vector<std::string> files() {
  std::vector<std::string> out;
  std::error_code none;  // no folder: HaveRowsEnough says so
  for (const auto& entry : fs::directory_iterator(kTables, none)) {
    if (entry.path().extension() == ".yaml") out.push_back(entry.path().stem());
  }
  std::ranges::sort(out);
  return out;
}

Table table_of(const std::string& file) {
  auto table = read_table((kTables / (file + ".yaml")).string());
  EXPECT_TRUE(table) << file << ": " << table.error().message;
  return table ? std::move(*table) : Table{};
}

void report(const Row& row, const std::vector<std::string>& differences) {
  if (!differences.empty()) ADD_FAILURE() << row.name << "\n  " << join(differences, "\n  ");
}

// Admission's word on the case. False when there is nothing more to ask.
bool admitted(const Case& one) {
  const Admission said = admit(one);
  if (!one.refused.empty()) {
    EXPECT_NE(said.errors.find(one.refused), std::string::npos)
        << one.name << ": admission says: " << said.errors;
    return false;
  }
  EXPECT_EQ(said.errors, "") << one.name;
  if (!one.warned.empty()) {
    EXPECT_NE(said.warnings.find(one.warned), std::string::npos)
        << one.name << ": admission warns: " << said.warnings;
  }
  return !one.rows.empty();
}

std::string asked(const Row& row) { return row.has("ask") ? row.text("ask") : row.text("connect"); }

class Tables : public ::testing::TestWithParam<std::string> {};

TEST_P(Tables, InProcess) {
  const Table table = table_of(GetParam());
  std::mt19937_64 random(7);
  for (const Case& one : table.cases) {
    if (!admitted(one)) continue;
    const auto mesh = Mesh::make(table, one);
    ASSERT_TRUE(mesh) << mesh.error().message;
    for (const Row& row : one.rows) {
      report(row, check_configuration(**mesh, row));
      if (!row.has("ask") && !row.has("connect")) continue;
      const Ask ask = parse_ask(asked(row));
      if (row.has("share")) {
        std::map<std::string, int> counted;
        for (int i = 0; i < kDraws; ++i) ++counted[decide(**mesh, row, ask, random()).cluster];
        report(row, share_differences(row, ask, counted, 2));
      } else if (!row.has("backend") && !row.has("slow") && !row.has("only")) {
        report(row, differences(row, ask, decide(**mesh, row, ask, random())));
      }
    }
  }
}

// A sidecar that knows nothing asks for what the request needs, and decides it as the row says.
TEST_P(Tables, OnDemand) {
  const Table table = table_of(GetParam());
  std::mt19937_64 random(7);
  int learned = 0;
  for (const Case& one : table.cases) {
    if (!one.refused.empty() || one.rows.empty()) continue;
    const auto whole = Mesh::make(table, one);
    ASSERT_TRUE(whole) << whole.error().message;
    for (const Row& row : one.rows) {
      if (!row.has("ask") && !row.has("connect")) continue;
      if (row.has("cluster") || row.has("endpoints") || row.has("listener")) continue;
      const Ask ask = parse_ask(asked(row));
      std::vector<std::string> names;
      auto mesh = (*whole)->asking_for(names);
      ASSERT_TRUE(mesh) << row.name << ": " << mesh.error().message;
      if (*mesh == nullptr) continue;
      for (int round = 0; round < 3; ++round) {
        const auto more = unknown_names(**mesh, row, ask);
        if (more.empty()) break;
        names.insert(names.end(), more.begin(), more.end());
        mesh = (*whole)->asking_for(names);
        ASSERT_TRUE(mesh) << row.name << ": " << mesh.error().message;
      }
      EXPECT_TRUE(unknown_names(**mesh, row, ask).empty()) << row.name;
      ++learned;
      report(row, check_configuration(**mesh, row));
      if (row.has("share")) {
        std::map<std::string, int> counted;
        for (int i = 0; i < kDraws; ++i) ++counted[decide(**mesh, row, ask, random()).cluster];
        report(row, share_differences(row, ask, counted, 2));
      } else if (!row.has("backend") && !row.has("slow") && !row.has("only")) {
        report(row, differences(row, ask, decide(**mesh, row, ask, random())));
      }
    }
  }
  RecordProperty("learned", learned);
}

TEST_P(Tables, OverSockets) {
  const Table table = table_of(GetParam());
  Sockets sockets;
  for (const Case& one : table.cases) {
    if (!one.refused.empty() || one.rows.empty()) continue;
    const auto mesh = Mesh::make(table, one);
    ASSERT_TRUE(mesh) << mesh.error().message;
    ASSERT_TRUE(sockets.serve(**mesh)) << one.name;
    for (const Row& row : one.rows) {
      if (!row.has("ask") && !row.has("connect")) continue;
      const Ask ask = parse_ask(asked(row));
      if (row.has("share")) {
        std::map<std::string, int> counted;
        for (int i = 0; i < kRequests; ++i) {
          if (const auto outcome = sockets.send(**mesh, row, ask)) ++counted[outcome->cluster];
        }
        report(row, share_differences(row, ask, counted, 12));
      } else if (const auto outcome = sockets.send(**mesh, row, ask)) {
        report(row, differences(row, ask, *outcome));
      } else {
        std::printf("in process only: %s\n", row.name.c_str());
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, Tables, ::testing::ValuesIn(files()), [](const auto& info) {
  std::string name = info.param;
  std::ranges::replace(name, '-', '_');
  return name;
});

TEST(TablesAsAWhole, HaveRowsEnough) {
  std::size_t rows = 0;
  for (const std::string& file : files()) rows += count_rows(table_of(file));
  RecordProperty("rows", static_cast<int>(rows));
  EXPECT_GE(rows, kLeastRows);
}

}  // namespace
}  // namespace mizzen::sim
