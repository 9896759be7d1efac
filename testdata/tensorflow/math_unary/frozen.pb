
3
x0Placeholder*
dtype0*
shape
:
3
x1Placeholder*
dtype0*
shape
:
8
x2Placeholder*
dtype0*
shape:ÿÿÿÿÿÿÿÿÿ

AbsAbsx0*
T0

y0IdentityAbs*
T0

AcoshAcoshx2*
T0

y1IdentityAcosh*
T0

AsinAsinx1*
T0

y2IdentityAsin*
T0

AsinhAsinhx0*
T0

y3IdentityAsinh*
T0

AtanAtanx0*
T0

y4IdentityAtan*
T0

AtanhAtanhx1*
T0

y5IdentityAtanh*
T0

CeilCeilx0*
T0

y6IdentityCeil*
T0

CosCosx0*
T0

y7IdentityCos*
T0

CoshCoshx0*
T0

y8IdentityCosh*
T0

DigammaDigammax1*
T0
 
y9IdentityDigamma*
T0

EluElux0*
T0

y10IdentityElu*
T0

ErfErfx0*
T0

y11IdentityErf*
T0

ErfcErfcx0*
T0

y12IdentityErfc*
T0

ExpExpx0*
T0

y13IdentityExp*
T0

Expm1Expm1x0*
T0

y14IdentityExpm1*
T0

FloorFloorx0*
T0

y15IdentityFloor*
T0

InvInvx1*
T0

y16IdentityInv*
T0
3
	LeakyRelu	LeakyRelux0*
T0*
alpha%ÍÌL>
#
y17Identity	LeakyRelu*
T0

LgammaLgammax1*
T0
 
y18IdentityLgamma*
T0

LogLogx1*
T0

y19IdentityLog*
T0

Log1pLog1px1*
T0

y20IdentityLog1p*
T0

NegNegx0*
T0

y21IdentityNeg*
T0
%

Reciprocal
Reciprocalx1*
T0
$
y22Identity
Reciprocal*
T0

ReluRelux0*
T0

y23IdentityRelu*
T0

Relu6Relu6x0*
T0

y24IdentityRelu6*
T0

RintRintx0*
T0

y25IdentityRint*
T0

RoundRoundx0*
T0

y26IdentityRound*
T0

RsqrtRsqrtx1*
T0

y27IdentityRsqrt*
T0

SeluSelux0*
T0

y28IdentitySelu*
T0

SigmoidSigmoidx0*
T0
!
y29IdentitySigmoid*
T0

SignSignx0*
T0

y30IdentitySign*
T0

SinSinx0*
T0

y31IdentitySin*
T0

SinhSinhx0*
T0

y32IdentitySinh*
T0
!
SoftplusSoftplusx0*
T0
"
y33IdentitySoftplus*
T0
!
SoftsignSoftsignx0*
T0
"
y34IdentitySoftsign*
T0

SqrtSqrtx1*
T0

y35IdentitySqrt*
T0

SquareSquarex0*
T0
 
y36IdentitySquare*
T0

TanTanx0*
T0

y37IdentityTan*
T0

TanhTanhx0*
T0

y38IdentityTanh*
T0
!
OnesLikeOnesLikex0*
T0
"
y39IdentityOnesLike*
T0
#
	ZerosLike	ZerosLikex0*
T0
#
y40Identity	ZerosLike*
T0

NdtriNdtrix1*
T0

y41IdentityNdtri*
T0

ErfinvErfinvx1*
T0
 
y42IdentityErfinv*
T0

IsNanIsNanx0*
T0

IsInfIsInfx0*
T0
!
IsFiniteIsFinitex0*
T0

AcosAcosx1*
T0

y43IdentityIsNan*
T0


y44IdentityIsInf*
T0

"
y45IdentityIsFinite*
T0


y46IdentityAcos*
T0"ª