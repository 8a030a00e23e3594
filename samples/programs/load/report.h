// What a load has shown, in fortio's words: text for people, JSON for programs.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "samples/load/run.h"

namespace mizzen::samples::load {

std::string opening(const Options& options);  // the lines before the run
std::string report(const Options& options, const Outcome& outcome);
nlohmann::ordered_json report_json(const Options& options, const Outcome& outcome);

}  // namespace mizzen::samples::load
