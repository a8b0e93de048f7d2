// The plugin's glue and its check in one translation unit: parsing libtorch's
// headers is nearly all of the cost, and this way it is paid once.
#include "plugin/attention.cc"
#include "plugin/embedding.cc"
#include "plugin/heads.cc"
#include "plugin/layout.cc"
#include "plugin/linear.cc"
#include "plugin/optimiser.cc"
#include "plugin/rows.cc"

#include "glue.cpp"
