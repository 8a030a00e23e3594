// What became of a request, and whether that is what a row expects.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/clock.h"
#include "table.h"

namespace mizzen::sim {

struct Outcome {
  std::string cluster;  // that got the request or connection; empty: none
  int status = 0;       // what the client got; 0 for connections
  std::string location;
  std::string body;
  // As the destination saw them.
  std::string path;
  std::string authority;
  std::map<std::string, std::string> sees;     // request headers, names in lower case
  std::map<std::string, std::string> answers;  // response headers
  std::vector<std::string> mirrored;           // clusters that got a copy, sorted
  Duration delay{};
};

// One line for each thing that is not as `row` says; empty when all is well.
std::vector<std::string> differences(const Row& row, const Ask& ask, const Outcome& outcome);

// The shares of `row` ("share": {destination: percent}) against what was counted, within `slack`
// percent points.
std::vector<std::string> share_differences(const Row& row, const Ask& ask,
                                           const std::map<std::string, int>& counted, int slack);

// A duration as rows write it: "300ms", "5s".
Duration duration_of(std::string_view text);

}  // namespace mizzen::sim
