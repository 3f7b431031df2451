#include "CTransformerKernel.h"
