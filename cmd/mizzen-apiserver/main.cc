// The local cluster's API server alone: for developing and testing what talks to it.
#include "local/apiserver/standalone.h"

int main(int argc, char** argv) { return mizzen::local::run_apiserver({argv + 1, argv + argc}); }
