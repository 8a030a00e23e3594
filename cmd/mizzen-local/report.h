// What the program tells of a cluster.
#pragma once

#include <string>

namespace mizzen::local {

int print_status(const std::string& dir);
int print_status_json(const std::string& dir);  // for programs; {"running": false} when none runs
int print_env(const std::string& dir);          // shell settings
int print_where_to_look(const std::string& dir, bool demo);
int tunnel(const std::string& dir);  // 80 and 443 of 127.0.0.1 to the ingress, until interrupted

}  // namespace mizzen::local
